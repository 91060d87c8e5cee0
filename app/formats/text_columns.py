"""Texts and labels of CSV, JSON lines, workbooks and Parquet."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from app.errors import FieldError, InvalidDataset
from app.formats import jsonl, tables
from app.formats.cells import as_numbers, is_supported
from app.formats.dialects import Layout
from app.formats.names import canonical_name, canonical_names
from app.formats.row_blocks import DEFAULT_LABEL, default_label, require_column
from app.formats.validation import ErrorCollector, encodable, pointer, printable

DEFAULT_TEXT = "text"
FIRST_RECORDS = 1000
INVALID_TEXT = "?"

TextRows = tuple[list[str], list[str | None] | None]
"""Texts, and their labels if there is a label column; None for a missing label."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns to read. None means the default column."""

    text: str | None
    label: str | None
    layout: Layout


@dataclass(frozen=True, slots=True)
class RowErrors:
    """Errors of invalid rows, and of those without a label, which is no error if all have none."""

    invalid: ErrorCollector
    unlabelled: ErrorCollector


def resolve(path: Path, format: str, columns: Columns) -> Columns:
    """Resolve defaults to the columns of the file. Raise InvalidDataset if one is missing."""
    schema = _schema(path, format, columns.layout)
    names = list(schema)
    unnamed = [name for name in names if name != columns.text]
    label = require_column(columns.label, names, "label") if columns.label else default_label(unnamed)
    others = [name for name in names if name != label]
    text = columns.text or _default(DEFAULT_TEXT, others) or (others[0] if len(others) == 1 else DEFAULT_TEXT)
    if text == label:
        raise InvalidDataset("The text and the label are the same column.", [FieldError("/options/label", "also the text")])
    _check_label(schema, label)
    return replace(columns, text=require_column(text, names, "text"), label=label)


def looks_like_text(path: Path, format: str, columns: Columns) -> bool:
    """Return whether there is a column `text`, or a single column beside the label that contains no numbers."""
    if columns.text:
        return True
    schema = _schema(path, format, columns.layout)
    others = [name for name in schema if name != (columns.label or default_label(list(schema)))]
    if DEFAULT_TEXT in others:
        return True
    if len(others) != 1 or schema[others[0]] != pl.String:
        return False
    first = next(tables.blocks(path, format, columns.layout, others, ErrorCollector()), None)
    return first is not None and as_numbers(first.frame.to_series()).drop_nulls().is_empty()


def read(path: Path, format: str, columns: Columns, size: int, errors: RowErrors) -> Iterator[TextRows]:
    """Yield texts and their labels, at most `size` at a time. Add an error for each invalid row."""
    if format == "jsonl":
        return _read_jsonl(path, columns, size, errors)
    return _read_table(path, format, columns, size, errors)


def _schema(path: Path, format: str, layout: Layout) -> dict[str, pl.DataType]:
    if format != "jsonl":
        return tables.schema(path, format, layout)
    errors = ErrorCollector()
    _, records = next(jsonl.blocks(path, FIRST_RECORDS, errors), (None, None))
    if records is None:
        errors.check()
        raise InvalidDataset("There are no texts.", [FieldError("/file", "there are no texts")])
    return {name: pl.String() for record in records for name in record}


def _check_label(schema: dict[str, pl.DataType], label: str | None) -> None:
    if label is not None and not is_supported(schema[label]):
        detail = f"column {printable(label, 50)!r} is of type {schema[label]}, which cannot be a label"
        raise InvalidDataset(detail, [FieldError(pointer("columns", label), detail)])


def _default(name: str, names: Sequence[str]) -> str | None:
    return name if name in names else None


def _read_table(path: Path, format: str, columns: Columns, size: int, errors: RowErrors) -> Iterator[TextRows]:
    assert columns.text is not None
    names = [columns.text] + ([columns.label] if columns.label else [])
    for block in tables.blocks(path, format, columns.layout, names, errors.invalid):
        for start in range(0, block.frame.height, size):
            frame, rows = block.frame.slice(start, size), block.rows[start : start + size]
            texts = _texts(frame[columns.text], columns.text)
            labels = canonical_names(frame[columns.label]).to_list() if columns.label else None
            yield _complete_rows(rows, texts, labels, columns, errors)


def _texts(values: pl.Series, name: str) -> list[str | None]:
    if values.dtype not in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        detail = f"column {printable(name, 50)!r} is of type {values.dtype}, not text"
        raise InvalidDataset(detail, [FieldError(pointer("columns", name), detail)])
    return values.cast(pl.String).to_list()


def _read_jsonl(path: Path, columns: Columns, size: int, errors: RowErrors) -> Iterator[TextRows]:
    assert columns.text is not None
    for rows, records in jsonl.blocks(path, size, errors.invalid):
        texts = [_text(record, row, columns.text, errors.invalid) for row, record in zip(rows, records, strict=True)]
        labels = [_label(record, row, columns, errors.invalid) for row, record in zip(rows, records, strict=True)]
        yield _complete_rows(rows, texts, labels if columns.label else None, columns, errors)


def _text(record: jsonl.Record, row: int, name: str, errors: ErrorCollector) -> str | None:
    value = record.get(name)
    if value is None or (isinstance(value, str) and encodable(value)):
        return value
    errors.add(pointer("rows", row, name), f"row {row}: {printable(name, 50)!r} is not a string")
    return INVALID_TEXT


def _label(record: jsonl.Record, row: int, columns: Columns, errors: ErrorCollector) -> str | None:
    name = columns.label or DEFAULT_LABEL
    value = record.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if columns.label is None and columns.text != name:
        errors.add(pointer("rows", row, name), f"row {row} has a label, but the first {FIRST_RECORDS} rows have none")
        return None
    if isinstance(value, str | int | float):
        return canonical_name(value)
    errors.add(pointer("rows", row, name), f"row {row}: the label is neither a string nor a number")
    return ""


def _complete_rows(
    rows: Sequence[int],
    texts: Sequence[str | None],
    labels: Sequence[str | None] | None,
    columns: Columns,
    errors: RowErrors,
) -> TextRows:
    """Return the rows with a text. Add an error for each other row."""
    complete, names = list[str](), list[str | None]()
    for index, text in enumerate(texts):
        label = labels[index] if labels is not None else None
        if text is None or not text.strip():
            errors.invalid.add(pointer("rows", rows[index], columns.text), f"row {rows[index]} has no text")
        else:
            if labels is not None and label is None:
                errors.unlabelled.add(pointer("rows", rows[index], columns.label), f"row {rows[index]} has no label")
            complete.append(text)
            names.append(label)
    return complete, names if labels is not None else None
