"""JSON lines, one object per line, or one JSON array of objects; each also compressed by gzip."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.errors import FieldError, InvalidDataset
from app.formats import json_arrays
from app.formats.gzip_files import as_damaged_gzip, open_decompressed
from app.formats.names import canonical_text
from app.formats.row_blocks import MAX_COLUMNS
from app.formats.validation import ErrorCollector, pointer, printable

MAX_LINE_BYTES = 8 * 1024 * 1024
BLOCK_BYTES = 4 * 1024 * 1024
PEEKED_BYTES = 1024

Record = dict[str, object]


class _TooManyKeysError(Exception):
    """An object has more keys than a table may have columns."""


def blocks(path: Path, size: int, errors: ErrorCollector) -> Iterator[tuple[Sequence[int], list[Record]]]:
    """Yield row numbers and objects, at most `size` at a time. Add an error for each line that is not an object."""
    rows, records, buffered_bytes = list[int](), list[Record](), 0
    for row, line in enumerate(_lines(path), start=1):
        record = _record(line, row, errors)
        if record is not None:
            rows.append(row)
            records.append(record)
            buffered_bytes += len(line)
        if len(rows) >= size or buffered_bytes > BLOCK_BYTES:
            yield rows, records
            rows, records, buffered_bytes = [], [], 0
    if rows:
        yield rows, records


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines that are not blank, or the elements of an array."""
    with open_decompressed(path) as file, as_damaged_gzip():
        start = 3 if file.read(3) == b"\xef\xbb\xbf" else 0
        file.seek(start)
        is_array = file.read(PEEKED_BYTES).lstrip().startswith(b"[")
        file.seek(start)
        if is_array:
            yield from json_arrays.elements(file, MAX_LINE_BYTES)
            return
        number = 0
        while line := file.readline(MAX_LINE_BYTES):
            number += 1
            if len(line) == MAX_LINE_BYTES:
                detail = f"line {number} is longer than {MAX_LINE_BYTES} bytes"
                raise InvalidDataset(detail, [FieldError(pointer("rows", number), detail)])
            if line.strip():
                yield line


def _record(line: bytes, row: int, errors: ErrorCollector) -> Record | None:
    try:
        record = json.loads(line.decode(), object_pairs_hook=_bounded_object)
    except UnicodeDecodeError as error:
        errors.add(f"/rows/{row}", f"row {row}: byte {line[error.start]:#04x} is not UTF-8")
        return None
    except _TooManyKeysError as error:
        errors.add(f"/rows/{row}", f"row {row} has {error}")
        return None
    except (ValueError, RecursionError) as error:
        errors.add(f"/rows/{row}", f"row {row} is not JSON: {printable(str(error))}")
        return None
    if not isinstance(record, dict):
        errors.add(f"/rows/{row}", f"row {row} is not a JSON object")
        return None
    return record


def _bounded_object(pairs: list[tuple[str, object]]) -> Record:
    if len(pairs) > MAX_COLUMNS:
        raise _TooManyKeysError(f"an object with {len(pairs)} keys; at most {MAX_COLUMNS} are accepted")
    return {canonical_text(name): value for name, value in pairs}
