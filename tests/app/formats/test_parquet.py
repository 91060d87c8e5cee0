"""Parquet is read in blocks that are small whatever their text amounts to."""

from pathlib import Path

import polars as pl
import pytest

from app.errors import InvalidDataset
from app.formats import parquet


def test_text_that_a_dictionary_repeats_comes_in_small_blocks(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    words = ["a" * 500_000, None, "b" * 500_000]
    pl.DataFrame({"text": words * 100, "number": range(300)}).write_parquet(path)
    assert path.stat().st_size < 100_000
    blocks = list(parquet.blocks(path, ["text", "number"]))
    assert [row for block in blocks for row in block.rows] == list(range(1, 301))
    assert [number for block in blocks for number in block.frame["number"]] == list(range(300))
    assert max(int(block.frame["text"].str.len_bytes().sum()) for block in blocks) <= parquet.MAX_CELL_BYTES + 500_000


def test_a_cell_that_is_too_long_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"text": ["a"] * 1030 + ["b" * (parquet.MAX_CELL_BYTES + 1)]}).write_parquet(path)
    with pytest.raises(InvalidDataset, match="row 1031, column 'text': more than") as caught:
        list(parquet.blocks(path, ["text"]))
    assert caught.value.errors[0].pointer == "/rows/1031/text"
