"""Files that abort their reader are detected in a child process."""

from pathlib import Path

import polars as pl
import pytest

from app.errors import InvalidDataset
from app.formats import parquet_sandbox

ABORTING = Path(__file__).parent / "aborting.parquet"
"""A valid file with one changed byte: Polars 2.1 requests 2 EB of memory and aborts."""


def test_valid_file_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"x": [1, 2]}).write_parquet(path)
    parquet_sandbox.check_in_sandbox(path, "parquet")


def test_file_that_aborts_its_reader_is_rejected() -> None:
    with pytest.raises(InvalidDataset, match="it is damaged"):
        parquet_sandbox.check_in_sandbox(ABORTING, "parquet")


def test_error_of_the_reader_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 no PAR1")
    with pytest.raises(InvalidDataset, match="not a readable parquet file: parquet"):
        parquet_sandbox.check_in_sandbox(path, "parquet")


def test_file_that_takes_too_long_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_sandbox, "TIMEOUT_SECONDS", 0.001)
    with pytest.raises(InvalidDataset, match="takes too long"):
        parquet_sandbox.check_in_sandbox(ABORTING, "parquet")


def test_other_formats_are_not_checked(tmp_path: Path) -> None:
    parquet_sandbox.check_in_sandbox(tmp_path / "is not there", "csv")
