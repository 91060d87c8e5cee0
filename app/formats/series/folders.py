"""Recordings in an archive: one CSV or WAV file each, in class folders, or all at the top level if they have no labels."""

import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from app.errors import FieldError, InvalidDataset
from app.formats import archives, delimited
from app.formats.names import canonical_name
from app.formats.series import wav
from app.formats.series.long_tables import TIME_NAMES
from app.formats.series.number_columns import NumberColumns
from app.formats.series.recording import Recording, SeriesColumns, Values, check_size
from app.formats.validation import ErrorCollector, pointer, printable

TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
MAX_PARTS = 3

Layout = tuple[bool, tuple[str, ...]]


def read(path: Path, format: str, columns: SeriesColumns, errors: ErrorCollector) -> Iterator[Recording]:
    """Yield the recordings in the order of the archive. Add an error for each invalid file."""
    layouts: set[Layout] = set()
    names: tuple[str, ...] | None = None
    for member in archives.members(path, format, errors):
        parts = PurePosixPath(member.name).parts
        where, shown = pointer("files", member.name), printable(member.name)
        layouts.add((len(parts) > 1, parts[:-2]))
        if len(layouts) > 1 or len(parts) > MAX_PARTS:
            errors.add(where, f"{shown}: expected class_name/file.csv, with at most one folder around all classes")
            return
        label = canonical_name(parts[-2]) or "" if len(parts) > 1 else None
        try:
            values, given, rate = _decode(member.read(), parts[-1], columns, names, where)
        except InvalidDataset as error:
            errors.extend(_prefixed(error, shown, where))
            continue
        names = names or given
        yield Recording(values, shown, where, label, None, given, rate)


def parse_table(
    content: bytes, columns: SeriesColumns, names: tuple[str, ...] | None, where: str
) -> tuple[Values, tuple[str, ...]]:
    """Return the channels of a CSV file and their names, in the order of `names` if they are given. Raise InvalidDataset."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        path, errors = Path(file.name), ErrorCollector()
        own = [name for name in delimited.columns(path, columns.layout) if not _is_time(name, columns)]
        own = [name for name in own if name not in columns.ignore]
        if names is not None and set(own) != set(names):
            detail = f"its columns are {_listed(own)}, those of other files {_listed(names)}"
            raise InvalidDataset(detail, [FieldError(where, detail)])
        numbers = NumberColumns(names or own, where)
        parts = [numbers.convert(block) for block in delimited.blocks(path, columns.layout, errors)]
    errors.check()
    if not parts or not numbers.names:
        raise InvalidDataset("it has no rows of numbers", [FieldError(where, "it has no rows of numbers")])
    values = np.concatenate(parts, axis=1)
    channels, length = values.shape
    check_size(channels, length, where, "the file")
    return values, numbers.names


def _decode(
    content: bytes, filename: str, columns: SeriesColumns, names: tuple[str, ...] | None, where: str
) -> tuple[Values, tuple[str, ...] | None, int | None]:
    """Return the values, the names of the channels and the sampling rate, as far as the file has them."""
    if content.startswith(wav.MAGIC):
        sound = wav.parse(content, where)
        return sound.values, None, sound.rate
    if PurePosixPath(filename.lower()).suffix not in TABLE_SUFFIXES:
        detail = f"expected {', '.join(archives.RECORDING_SUFFIXES)}"
        raise InvalidDataset(detail, [FieldError(where, detail)])
    return *parse_table(content, columns, names, where), None


def _is_time(name: str, columns: SeriesColumns) -> bool:
    return name == columns.time if columns.time else name.lower() in TIME_NAMES


def _prefixed(error: InvalidDataset, shown: str, where: str) -> ErrorCollector:
    collected = ErrorCollector()
    for field in error.errors or [FieldError(where, error.message)]:
        collected.add(where, f"{shown}: {field.detail}")
    return collected


def _listed(names: "tuple[str, ...] | list[str]") -> str:
    return ", ".join(printable(name, 30) for name in names[:8]) or "none"
