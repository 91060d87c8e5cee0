"""Recordings in a `.ts` file of sktime and aeon: a header of `@` lines, then a line for each recording.

The channels of a recording are separated by `:`, their values by `,`. `?` and NaN are missing values. The class is the last
part of a line if the header has `@classLabel true`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np

from app.errors import FieldError, InvalidDataset
from app.formats.names import canonical_name
from app.formats.series.recording import Recording, Values, check_size
from app.formats.validation import ErrorCollector, pointer, printable

MAX_LINE_BYTES = 256 * 1024 * 1024
_MISSING = {"?", "nan", ""}


def read(path: Path, errors: ErrorCollector) -> Iterator[Recording]:
    """Yield the recordings in their order. Raise InvalidDataset."""
    with path.open("rb") as file:
        lines = _lines(file)
        has_labels = _read_header(lines)
        for row, line in enumerate((line for line in lines if line), start=1):
            parts = line.split(":")
            label = canonical_name(parts.pop()) or "" if has_labels else None
            values = _values(parts, row)
            where = pointer("rows", row)
            channels, length = values.shape
            check_size(channels, length, where, f"row {row}")
            yield Recording(values, f"row {row}", where, "" if label == "?" else label)


def _lines(file: BinaryIO) -> Iterator[str]:
    """Yield the lines without comments, stripped."""
    while line := file.readline(MAX_LINE_BYTES):
        if len(line) == MAX_LINE_BYTES:
            _reject(f"a line is longer than {MAX_LINE_BYTES} bytes", "/file")
        text = line.decode("utf-8-sig", "replace").strip()
        if not text.startswith("#"):
            yield text


def _read_header(lines: Iterator[str]) -> bool:
    """Read up to `@data`, and return whether the recordings have labels."""
    header: dict[str, list[str]] = {}
    for line in lines:
        if line.lower() == "@data":
            break
        if line and not line.startswith("@"):
            _reject("a line before `@data` does not begin with `@`: this is not a .ts file", "/file")
        name, *values = line.lower().split() or [""]
        header[name] = values
    else:
        _reject("there is no line `@data`", "/file")
    if header.get("@timestamps", ["false"])[:1] == ["true"]:
        _reject("values with time stamps are not supported: write them at equal steps with `@timeStamps false`", "/file")
    if header.get("@targetlabel", ["false"])[:1] == ["true"]:
        _reject("`@targetLabel` is a number to estimate; only classification is supported, not regression", "/file")
    return header.get("@classlabel", ["false"])[:1] == ["true"]


def _values(parts: list[str], row: int) -> Values:
    channels = [_numbers(part, row) for part in parts]
    lengths = {len(channel) for channel in channels}
    if len(lengths) != 1:
        _reject(f"row {row}: its channels have different lengths", pointer("rows", row))
    return np.stack(channels)


def _numbers(part: str, row: int) -> Values:
    cells = [cell.strip() for cell in part.split(",")]
    try:
        with np.errstate(over="ignore"):  # the caller reports infinite values
            return np.array(["nan" if cell.lower() in _MISSING else cell for cell in cells], np.float64).astype(np.float32)
    except ValueError:
        bad = next(cell for cell in cells if cell.lower() not in _MISSING and not _is_number(cell))
        _reject(f"row {row}: {printable(bad, 30)!r} is not a number", pointer("rows", row))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _reject(detail: str, where: str) -> NoReturn:
    raise InvalidDataset(detail, [FieldError(where, detail)])
