"""One interface to CSV and Parquet."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from app.formats import delimited, parquet
from app.formats.delimited import Delimiter
from app.formats.row_blocks import RowBlock
from app.formats.validation import ErrorCollector


def schema(path: Path, format: str, delimiter: Delimiter) -> dict[str, pl.DataType]:
    """Return column names and types. Every CSV column is text. Raise InvalidDataset."""
    if format == "parquet":
        parquet.columns(path)
        return dict(parquet.schema(path))
    return {name: pl.String() for name in delimited.columns(path, delimiter)}


def blocks(path: Path, format: str, delimiter: Delimiter, names: Sequence[str], errors: ErrorCollector) -> Iterator[RowBlock]:
    """Yield all rows of the named columns. Add an error for each ragged row."""
    if format == "parquet":
        yield from parquet.blocks(path, names)
        return
    for block in delimited.blocks(path, delimiter, errors):
        yield RowBlock(block.rows, block.frame.select(names))
