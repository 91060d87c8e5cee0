"""One interface to CSV and Parquet."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from app.formats import delimited, parquet
from app.formats.dialects import Delimiter
from app.formats.names import canonical_text
from app.formats.row_blocks import RowBlock
from app.formats.validation import ErrorCollector


def schema(path: Path, format: str, delimiter: Delimiter | None) -> dict[str, pl.DataType]:
    """Return column names and types. Every CSV column is text. Raise InvalidDataset."""
    if format == "parquet":
        return dict(zip(parquet.columns(path), parquet.schema(path).values(), strict=True))
    return {name: pl.String() for name in delimited.columns(path, delimiter)}


def blocks(
    path: Path, format: str, delimiter: Delimiter | None, names: Sequence[str], errors: ErrorCollector
) -> Iterator[RowBlock]:
    """Yield all rows of the named columns. Add an error for each ragged row."""
    if format == "parquet":
        spelled = dict(zip(parquet.columns(path), parquet.schema(path), strict=True))
        blocks = parquet.blocks(path, [spelled[canonical_text(name)] for name in names])
    else:
        blocks = delimited.blocks(path, delimiter, errors)
        spelled = {canonical_text(name): canonical_text(name) for name in names}
    columns = [pl.col(spelled[canonical_text(name)]).alias(name) for name in names]
    for block in blocks:
        yield RowBlock(block.rows, block.frame.select(columns))
