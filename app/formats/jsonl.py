"""JSON lines: one object a line."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.errors import FieldError, InvalidDataset
from app.formats.validation import ErrorCollector, pointer, printable

MAX_LINE_BYTES = 8 * 1024 * 1024
BLOCK_BYTES = 4 * 1024 * 1024

Record = dict[str, object]


def blocks(path: Path, size: int, places: ErrorCollector) -> Iterator[tuple[Sequence[int], list[Record]]]:
    """Row numbers and objects, at most `size` at a time. Lines that are no objects go into `places`."""
    rows, records, held = list[int](), list[Record](), 0
    for row, line in enumerate(_lines(path), start=1):
        record = _record(line, row, places)
        if record is not None:
            rows.append(row)
            records.append(record)
            held += len(line)
        if len(rows) >= size or held > BLOCK_BYTES:
            yield rows, records
            rows, records, held = [], [], 0
    if rows:
        yield rows, records


def _lines(path: Path) -> Iterator[bytes]:
    """Lines that are not blank."""
    with path.open("rb") as file:
        if file.read(3) != b"\xef\xbb\xbf":
            file.seek(0)
        number = 0
        while line := file.readline(MAX_LINE_BYTES):
            number += 1
            if len(line) == MAX_LINE_BYTES:
                detail = f"line {number} is longer than {MAX_LINE_BYTES} bytes"
                raise InvalidDataset(detail, [FieldError(pointer("rows", number), detail)])
            if line.strip():
                yield line


def _record(line: bytes, row: int, places: ErrorCollector) -> Record | None:
    try:
        record = json.loads(line.decode())
    except UnicodeDecodeError as error:
        places.add(f"/rows/{row}", f"row {row}: byte {line[error.start]:#04x} is not UTF-8")
        return None
    except (ValueError, RecursionError) as error:
        places.add(f"/rows/{row}", f"row {row} is not JSON: {printable(str(error))}")
        return None
    if not isinstance(record, dict):
        places.add(f"/rows/{row}", f"row {row} is not a JSON object")
        return None
    return record
