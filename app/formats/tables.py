"""One interface to the files of rows: CSV, JSON lines, workbooks and Parquet."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from app.formats import delimited, json_rows, parquet, workbooks
from app.formats.dialects import Layout
from app.formats.names import canonical_text
from app.formats.row_blocks import RowBlock
from app.formats.validation import ErrorCollector

TYPED = "parquet"
"""The format whose columns have types. In the others every column is text."""
PEEKED_BYTES = 1024
SUFFIXES: Mapping[str, str] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".csv.gz": "csv",
    ".tsv.gz": "csv",
    ".txt.gz": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".jsonl.gz": "jsonl",
    ".json.gz": "jsonl",
    ".xlsx": "workbook",
    ".xlsm": "workbook",
    ".xlsb": "workbook",
    ".xls": "workbook",
    ".ods": "workbook",
    ".parquet": "parquet",
}
"""Endings of file names and the format that each one means. The content decides where it differs (`content_suffix`)."""


def content_suffix(path: Path, filename: str) -> str | None:
    """Return the ending that the content asks for where a file of rows has another one, None if the name is right."""
    named = next((SUFFIXES[one] for one in sorted(SUFFIXES, key=len, reverse=True) if filename.lower().endswith(one)), None)
    found = _content(path)
    return found if found is not None and named is not None and SUFFIXES[found] != named else None


def _content(path: Path) -> str | None:
    with path.open("rb") as file:
        start = file.read(PEEKED_BYTES)
    if start.startswith(b"PAR1"):
        return ".parquet"
    if start.startswith(b"\xd0\xcf\x11\xe0"):
        return ".xls"
    if start.startswith(b"PK\x03\x04"):
        return ".xlsx" if _is_workbook(path) else None
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    return ".jsonl" if text.startswith((b'{"', b'[{"')) or text.startswith(b"[\n") else None


def _is_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return False
    return any(name.startswith("xl/") or name == "content.xml" for name in names)


def schema(path: Path, format: str, layout: Layout) -> dict[str, pl.DataType]:
    """Return column names and types. Raise InvalidDataset."""
    match format:
        case "parquet":
            return dict(zip(parquet.columns(path), parquet.schema(path).values(), strict=True))
        case "jsonl":
            names = json_rows.columns(path)
        case "workbook":
            names = workbooks.columns(path, layout)
        case _:
            names = delimited.columns(path, layout)
    return {name: pl.String() for name in names}


def blocks(path: Path, format: str, layout: Layout, names: Sequence[str], errors: ErrorCollector) -> Iterator[RowBlock]:
    """Yield all rows of the named columns. Add an error for each row that is ragged or no object."""
    spelled = {canonical_text(name): canonical_text(name) for name in names}
    match format:
        case "parquet":
            spelled = dict(zip(parquet.columns(path), parquet.schema(path), strict=True))
            blocks = parquet.blocks(path, [spelled[canonical_text(name)] for name in names])
        case "jsonl":
            blocks = json_rows.blocks(path, errors)
        case "workbook":
            blocks = workbooks.blocks(path, layout)
        case _:
            blocks = delimited.blocks(path, layout, errors)
    columns = [pl.col(spelled[canonical_text(name)]).alias(name) for name in names]
    for block in blocks:
        yield RowBlock(block.rows, block.frame.select(columns))


def describe(path: Path, format: str, layout: Layout) -> dict[str, Any]:
    """Return how the file is read: delimiter, encoding and header of CSV, the sheet of a workbook."""
    if format == "csv":
        dialect = delimited.dialect(path, layout)
        return {"delimiter": dialect.delimiter, "encoding": dialect.encoding, "header": dialect.header is not False}
    if format == "workbook":
        return {"sheet": workbooks.sheet_name(path, layout), "header": layout.header is not False}
    return {}
