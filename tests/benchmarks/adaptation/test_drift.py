from pathlib import Path

import polars as pl
import pytest

from benchmarks.adaptation import drift
from benchmarks.adaptation.tasks import task_from_folder


def test_target_columns_are_shifted_and_rows_are_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["drift", str(tmp_path)])
    drift.main()
    folders = sorted(tmp_path.iterdir())
    assert len(folders) == len({task_from_folder(folder).name for folder in folders}) == 16
    source, target, evaluation = (
        pl.read_csv(tmp_path / "wine-drift-strong-0" / f"{name}.csv") for name in ("source", "target", "evaluation")
    )
    assert (len(source), len(target), len(evaluation)) == (90, 48, 40)
    assert source.columns == target.columns == evaluation.columns
    numbers = pl.exclude("label")
    apart = ((target.select(numbers).mean() - source.select(numbers).mean()) / source.select(numbers).std()).row(0)
    assert max(map(abs, apart)) > 1
    mild = pl.read_csv(tmp_path / "wine-drift-mild-0" / "target.csv")
    assert mild["label"].to_list() == target["label"].to_list()
