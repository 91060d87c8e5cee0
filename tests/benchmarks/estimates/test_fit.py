from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.estimates.fit import NetworkRows, cross_validate, fit, read
from worker.estimates.accuracy_estimate import adjustments, estimate_accuracy
from worker.estimates.estimators import ESTIMATES

TASKS = ("one", "two", "three", "four")


def networks(noise: float = 0.02) -> pl.DataFrame:
    """Return networks whose confidence is too high by half of their prior distance to the source-only network."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(160):
        truth, distance = random.uniform(0.5, 0.8), random.uniform(0, 0.3)
        estimate = truth + 0.5 * distance + noise * random.normal()
        doubts = {"shifted": 0.0, "prior_distance": distance, "sampling": 0.05, "other_reverse_accuracy": 1.0}
        row = {**dict.fromkeys(ESTIMATES, estimate), **doubts, "critic": None}
        rows.append({**row, "task": TASKS[number % 4], "skewed": number % 8 < 4, "target_accuracy": truth})
    return pl.DataFrame(rows, schema_overrides={"critic": pl.Float64})


@pytest.fixture
def rows(tmp_path: Path) -> NetworkRows:
    networks().write_parquet(tmp_path / "rows.parquet")
    return read(tmp_path / "rows.parquet")


def test_fit_recovers_the_true_coefficients(rows: NetworkRows) -> None:
    fitted = fit(rows)
    assert fitted.weights["prior_distance"] > 0.3
    errors = [abs(estimate_accuracy(row, fitted).value - truth) for row, truth in zip(rows.estimators, rows.truth, strict=True)]
    assert np.mean(errors) < 0.04
    assert set(fitted.weights) == set(adjustments(rows.estimators[0]))


def test_nine_of_ten_intervals_cover_tasks_that_were_left_out(rows: NetworkRows) -> None:
    judged = cross_validate(rows)
    assert 0.82 <= float(np.mean(judged["covered"].to_list())) <= 0.98
    assert judged.height == 160


def test_tasks_with_equal_data_are_left_out_together(rows: NetworkRows) -> None:
    tasks = ["a-b", "a-b-encoder", "a-bc", "a-b-encoder"]
    four = NetworkRows(rows.estimators[:4], rows.truth[:4], np.array(tasks), rows.skewed[:4])
    assert four.data.tolist() == ["a-b", "a-b", "a-bc", "a-b"]


def test_rows_of_several_files_are_one(tmp_path: Path) -> None:
    networks().write_parquet(tmp_path / "one.parquet")
    networks().select(pl.exclude("sampling"), sampling=pl.lit(0.1)).write_parquet(tmp_path / "two.parquet")
    rows = read(tmp_path / "one.parquet", tmp_path / "two.parquet")
    assert len(rows.estimators) == len(rows.truth) == 320
