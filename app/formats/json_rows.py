"""Tables as JSON lines or a JSON array of objects. Values are converted to the text that CSV has for them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from app.errors import FieldError, InvalidDataset
from app.formats import jsonl
from app.formats.row_blocks import RowBlock, check_names
from app.formats.validation import ErrorCollector, encodable, pointer, printable

BLOCK_ROWS = 4096
FIRST_RECORDS = 1000


def columns(path: Path) -> list[str]:
    """Return the keys of the first objects. Raise InvalidDataset."""
    errors = ErrorCollector()
    _, records = next(jsonl.blocks(path, FIRST_RECORDS, errors), (None, None))
    if records is None:
        errors.check()
        raise InvalidDataset("There are no rows.", [FieldError("/file", "there are no rows: the file has no JSON objects")])
    return check_names(list(dict.fromkeys(name for record in records for name in record)))


def blocks(path: Path, errors: ErrorCollector) -> Iterator[RowBlock]:
    """Yield all rows as text cells. Add an error for nested values, and for keys that the first rows do not have."""
    names = columns(path)
    known = set(names)
    for rows, records in jsonl.blocks(path, BLOCK_ROWS, errors):
        for row, record in zip(rows, records, strict=True):
            _check_keys(row, record, known, errors)
        yield RowBlock(rows, pl.DataFrame([_column(name, rows, records, errors) for name in names]))


def _check_keys(row: int, record: jsonl.Record, known: set[str], errors: ErrorCollector) -> None:
    for name in record.keys() - known:
        detail = f"row {row} has a key {printable(name, 50)!r} that the first {FIRST_RECORDS} rows do not have"
        errors.add(pointer("rows", row, name), detail)


def _column(name: str, rows: Sequence[int], records: Sequence[jsonl.Record], errors: ErrorCollector) -> pl.Series:
    cells = [_text(record.get(name), row, name, errors) for row, record in zip(rows, records, strict=True)]
    return pl.Series(name, cells, pl.String)


def _text(value: object, row: int, name: str, errors: ErrorCollector) -> str | None:
    if value is None or value != value:  # NaN
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str) and encodable(value):
        return value or None
    what = "text with an invalid character" if isinstance(value, str) else "an object or an array"
    errors.add(pointer("rows", row, name), f"row {row}, column {printable(name, 50)!r}: {what}, not a number, a text or null")
    return None
