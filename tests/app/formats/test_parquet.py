"""Parquet is read in blocks of bounded size."""

from pathlib import Path

import polars as pl
import pytest

from app.errors import InvalidDataset
from app.formats import parquet


def test_dictionary_encoded_text_is_read_in_small_blocks(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    words = ["a" * 500_000, None, "b" * 500_000]
    pl.DataFrame({"text": words * 100, "number": range(300)}).write_parquet(path)
    assert path.stat().st_size < 100_000
    blocks = list(parquet.blocks(path, ["text", "number"]))
    assert [row for block in blocks for row in block.rows] == list(range(1, 301))
    assert [number for block in blocks for number in block.frame["number"]] == list(range(300))
    assert max(int(block.frame["text"].str.len_bytes().sum()) for block in blocks) <= parquet.MAX_CELL_BYTES + 500_000


def test_overlong_cell_is_reported_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"text": ["a"] * 1030 + ["b" * (parquet.MAX_CELL_BYTES + 1)]}).write_parquet(path)
    with pytest.raises(InvalidDataset, match="row 1031, column 'text': more than") as caught:
        list(parquet.blocks(path, ["text"]))
    assert caught.value.errors[0].pointer == "/rows/1031/text"


@pytest.mark.parametrize("kinds", [[pl.Float32, pl.Int64], [pl.Float32, pl.Boolean]])
def test_every_row_is_read_once_in_order_across_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinds: list[type[pl.DataType]]
) -> None:
    monkeypatch.setattr(parquet, "SLICE_BYTES", 9_000)
    monkeypatch.setattr(parquet, "BLOCK_BYTES", 2_500)
    path = tmp_path / "a.parquet"
    frame = pl.DataFrame({"a": range(5000), "b": [None, 1] * 2500}).select(pl.col("a").cast(kinds[0]), pl.col("b").cast(kinds[1]))
    frame.write_parquet(path, row_group_size=333)
    blocks = list(parquet.blocks(path, ["a", "b"]))
    assert len(blocks) > 4
    assert [row for block in blocks for row in block.rows] == list(range(1, 5001))
    assert pl.concat([block.frame for block in blocks]).equals(frame)


def test_iteration_can_stop_after_the_first_block(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": range(300_000)}).write_parquet(path, row_group_size=10_000)
    first = next(iter(parquet.blocks(path, ["a"])))
    assert first.frame["a"].to_list() == list(range(len(first.rows)))
