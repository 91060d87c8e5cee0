"""Parquet in blocks. Slices are read one by one, because Polars' own batches keep whole row groups in memory.

Each slice unpacks the row groups at its ends again. The size of numbers is known in advance, so their slices are large and
come in batches. Text is read in small slices: with a dictionary, a file of one kilobyte can hold thousands of rows of a
megabyte each. They cost nothing until they are copied, so blocks are bounded by the bytes of their text.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from app.errors import FieldError, InvalidDataset
from app.formats.row_blocks import RowBlock, check_names
from app.formats.validation import pointer, printable

BLOCK_BYTES = 32 * 1024 * 1024
SLICE_BYTES = 128 * 1024 * 1024
MAX_BLOCK_ROWS = 65_536
GROWTH = 8
MAX_CELL_BYTES = 8 * 1024 * 1024
MAX_ROWS = 200_000_000


def columns(path: Path) -> list[str]:
    """Return the column names. Raise InvalidDataset."""
    return check_names(list(schema(path)))


def schema(path: Path) -> pl.Schema:
    """Return column names and Polars types. Raise InvalidDataset."""
    with _read_errors():
        return pl.scan_parquet(path, glob=False).collect_schema()


def row_count(path: Path) -> int:
    """Return the number of rows. Raise InvalidDataset."""
    return int(collected(pl.scan_parquet(path, glob=False).select(pl.len())).item())


def collected(scan: pl.LazyFrame) -> pl.DataFrame:
    """Return the rows of a query. Raise InvalidDataset."""
    with _read_errors():
        return scan.collect()


def metadata(path: Path, writer: str) -> dict[str, Any]:
    """Return what `pandas` or `huggingface` wrote about the table; empty for other writers. Raise InvalidDataset."""
    with _read_errors():
        text = pl.read_parquet_metadata(path).get(writer, "{}")
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


def blocks(path: Path, names: Sequence[str]) -> Iterator[RowBlock]:
    """Yield all rows of the named columns."""
    with _read_errors():
        scan = pl.scan_parquet(path, glob=False).select(names)
        total = int(scan.select(pl.len()).collect().item())
    if total > MAX_ROWS:
        raise InvalidDataset(f"More than {MAX_ROWS} rows.", [FieldError("/file", f"more than {MAX_ROWS} rows")])
    types = scan.collect_schema()
    if all(dtype.is_numeric() for dtype in types.values()):
        yield from _numeric_blocks(scan, types, total)
    else:
        yield from _general_blocks(scan, total)


def _numeric_blocks(scan: pl.LazyFrame, types: pl.Schema, total: int) -> Iterator[RowBlock]:
    row_bytes = max(1, int(pl.DataFrame(schema=types).clear(MAX_BLOCK_ROWS).estimated_size()) // MAX_BLOCK_ROWS)
    size, batch = max(1, SLICE_BYTES // row_bytes), max(1, min(MAX_BLOCK_ROWS, BLOCK_BYTES // row_bytes))
    for start in range(0, total, size):
        row = start + 1
        with _read_errors():
            for frame in scan.slice(start, size).collect_batches(chunk_size=batch):
                yield RowBlock(range(row, row + frame.height), frame)
                row += frame.height


def _general_blocks(scan: pl.LazyFrame, total: int) -> Iterator[RowBlock]:
    start, size = 0, 1024
    while start < total:
        with _read_errors():
            frame = scan.slice(start, size).collect()
        for offset, part in _bounded(frame, start + 1):
            yield RowBlock(range(start + 1 + offset, start + 1 + offset + part.height), part)
        start += size
        size = _next_size(size, int(frame.estimated_size()))


def _bounded(frame: pl.DataFrame, first_row: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """Split a frame into parts with at most `MAX_CELL_BYTES` of text each, with their offsets. Raise InvalidDataset."""
    texts = [series.cast(pl.String) for series in frame if series.dtype in (pl.String, pl.Categorical, pl.Enum)]
    if not texts:
        yield 0, frame
        return
    sizes = [series.str.len_bytes().fill_null(0).cast(pl.Int64).to_numpy() for series in texts]
    for series, cell_bytes in zip(texts, sizes, strict=True):
        if cell_bytes.max(initial=0) > MAX_CELL_BYTES:
            row = first_row + int(cell_bytes.argmax())
            detail = f"row {row}, column {printable(series.name, 50)!r}: more than {MAX_CELL_BYTES} bytes of text"
            raise InvalidDataset(detail, [FieldError(pointer("rows", row, series.name), detail)])
    parts = np.sum(sizes, axis=0).cumsum() // MAX_CELL_BYTES
    begins = [0, *(np.flatnonzero(np.diff(parts)) + 1).tolist(), frame.height]
    for begin, end in pairwise(begins):
        yield begin, frame[begin:end]


def _next_size(size: int, frame_bytes: int) -> int:
    """Return the rows of the next slice for about `BLOCK_BYTES`. Large slices matter: each unpacks its row group again."""
    if frame_bytes > 2 * BLOCK_BYTES:
        return max(size // 2, 64)
    return min(size * GROWTH, MAX_BLOCK_ROWS) if frame_bytes < BLOCK_BYTES / 2 else size


@contextmanager
def _read_errors() -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        detail = f"not a readable parquet file: {printable(str(error))}"
        raise InvalidDataset(detail, [FieldError("/file", detail)]) from error
