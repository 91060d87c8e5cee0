"""Parquet in blocks. Slices are read one by one: Polars' own batches keep whole row groups in memory.

Each slice unpacks the row groups again that it begins or ends in. Of numbers, whose size is known before they are read, slices
are therefore large, and each comes in batches. Text is read in small ones: a dictionary lets a file of a kilobyte hold thousands
of rows of a megabyte each, which cost nothing before somebody copies them, so that blocks are bounded by the bytes that their
text would take.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from app.errors import FieldError, InvalidDataset
from app.formats.row_blocks import RowBlock, check_names
from app.formats.validation import pointer, printable

BLOCK_BYTES = 32 * 1024 * 1024
SLICE_BYTES = 128 * 1024 * 1024
MOST_ROWS = 65_536
GROWTH = 8
MAX_CELL_BYTES = 8 * 1024 * 1024
MAX_ROWS = 200_000_000


def columns(path: Path) -> list[str]:
    """The column names. Raises InvalidDataset."""
    return check_names(list(schema(path)))


def schema(path: Path) -> pl.Schema:
    """Names and Polars types. Raises InvalidDataset."""
    with _damage():
        return pl.scan_parquet(path, glob=False).collect_schema()


def blocks(path: Path, wanted: Sequence[str]) -> Iterator[RowBlock]:
    """All rows of the wanted columns."""
    with _damage():
        scan = pl.scan_parquet(path, glob=False).select(wanted)
        total = int(scan.select(pl.len()).collect().item())
    if total > MAX_ROWS:
        raise InvalidDataset(f"More than {MAX_ROWS} rows.", [FieldError("/file", f"more than {MAX_ROWS} rows")])
    types = scan.collect_schema()
    if all(dtype.is_numeric() for dtype in types.values()):
        yield from _blocks_of_numbers(scan, types, total)
    else:
        yield from _blocks_of_any(scan, total)


def _blocks_of_numbers(scan: pl.LazyFrame, types: pl.Schema, total: int) -> Iterator[RowBlock]:
    row_bytes = max(1, int(pl.DataFrame(schema=types).clear(MOST_ROWS).estimated_size()) // MOST_ROWS)
    size, batch = max(1, SLICE_BYTES // row_bytes), max(1, min(MOST_ROWS, BLOCK_BYTES // row_bytes))
    for start in range(0, total, size):
        row = start + 1
        with _damage():
            for frame in scan.slice(start, size).collect_batches(chunk_size=batch):
                yield RowBlock(range(row, row + frame.height), frame)
                row += frame.height


def _blocks_of_any(scan: pl.LazyFrame, total: int) -> Iterator[RowBlock]:
    start, size = 0, 1024
    while start < total:
        with _damage():
            frame = scan.slice(start, size).collect()
        for offset, part in _bounded(frame, start + 1):
            yield RowBlock(range(start + 1 + offset, start + 1 + offset + part.height), part)
        start += size
        size = _next_size(size, int(frame.estimated_size()))


def _bounded(frame: pl.DataFrame, first_row: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """The frame in parts of at most `MAX_CELL_BYTES` of text in all, each with its offset. Raises InvalidDataset."""
    texts = [series.cast(pl.String) for series in frame if series.dtype in (pl.String, pl.Categorical, pl.Enum)]
    if not texts:
        yield 0, frame
        return
    sizes = [series.str.len_bytes().fill_null(0).cast(pl.Int64).to_numpy() for series in texts]
    for series, found in zip(texts, sizes, strict=True):
        if found.max(initial=0) > MAX_CELL_BYTES:
            row = first_row + int(found.argmax())
            detail = f"row {row}, column {printable(series.name, 50)!r}: more than {MAX_CELL_BYTES} bytes of text"
            raise InvalidDataset(detail, [FieldError(pointer("rows", row, series.name), detail)])
    parts = np.sum(sizes, axis=0).cumsum() // MAX_CELL_BYTES
    begins = [0, *(np.flatnonzero(np.diff(parts)) + 1).tolist(), frame.height]
    for begin, end in pairwise(begins):
        yield begin, frame[begin:end]


def _next_size(size: int, found_bytes: int) -> int:
    """Rows of the next block, so that it holds about `BLOCK_BYTES`: each one unpacks its whole row group again."""
    if found_bytes > 2 * BLOCK_BYTES:
        return max(size // 2, 64)
    return min(size * GROWTH, MOST_ROWS) if found_bytes < BLOCK_BYTES / 2 else size


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        detail = f"not a readable parquet file: {printable(str(error))}"
        raise InvalidDataset(detail, [FieldError("/file", detail)]) from error
