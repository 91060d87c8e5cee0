"""Parquet in blocks. Slices are read one by one: Polars' own batches keep whole row groups in memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from app.errors import FieldError, InvalidDataset
from app.formats.blocks import Block, check_names
from app.formats.places import printable

BLOCK_BYTES = 4 * 1024 * 1024
MAX_ROWS = 200_000_000


def columns(path: Path) -> list[str]:
    """The column names. Raises InvalidDataset."""
    return check_names(list(schema(path)))


def schema(path: Path) -> pl.Schema:
    """Names and Polars types. Raises InvalidDataset."""
    with _damage():
        return pl.scan_parquet(path, glob=False).collect_schema()


def blocks(path: Path, wanted: Sequence[str]) -> Iterator[Block]:
    """All rows of the wanted columns."""
    start, size = 0, 1024
    with _damage():
        scan = pl.scan_parquet(path, glob=False).select(wanted)
        total = int(scan.select(pl.len()).collect().item())
    if total > MAX_ROWS:
        raise InvalidDataset(f"More than {MAX_ROWS} rows.", [FieldError("/file", f"more than {MAX_ROWS} rows")])
    while start < total:
        with _damage():
            frame = scan.slice(start, size).collect()
        yield Block(range(start + 1, start + 1 + frame.height), frame)
        start += size
        size = _next_size(size, int(frame.estimated_size()))


def _next_size(size: int, found_bytes: int) -> int:
    """Rows of the next block, so that it holds about `BLOCK_BYTES`."""
    if found_bytes > 2 * BLOCK_BYTES:
        return max(size // 2, 64)
    return min(size * 2, 65536) if found_bytes < BLOCK_BYTES else size


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        detail = f"not a readable parquet file: {printable(str(error))}"
        raise InvalidDataset(detail, [FieldError("/file", detail)]) from error
