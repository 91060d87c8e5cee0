"""CSV and Parquet behind one pair of functions."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from app.formats import delimited, parquet
from app.formats.delimited import Delimiter
from app.formats.row_blocks import RowBlock
from app.formats.validation import ErrorCollector


def schema(path: Path, format: str, delimiter: Delimiter) -> dict[str, pl.DataType]:
    """Column names and types; every CSV column is text. Raises InvalidDataset."""
    if format == "parquet":
        parquet.columns(path)
        return dict(parquet.schema(path))
    return {name: pl.String() for name in delimited.columns(path, delimiter)}


def blocks(path: Path, format: str, delimiter: Delimiter, wanted: Sequence[str], places: ErrorCollector) -> Iterator[RowBlock]:
    """All rows of the wanted columns; ragged rows go into `places`."""
    if format == "parquet":
        yield from parquet.blocks(path, wanted)
        return
    for block in delimited.blocks(path, delimiter, places):
        yield RowBlock(block.rows, block.frame.select(wanted))
