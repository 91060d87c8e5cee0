"""A simulated request over a record: coverage and verdicts at each look."""

import numpy as np
import polars as pl

from benchmarks.labels.__main__ import table
from benchmarks.labels.simulation import Subject, simulate


def test_simulation_reports_coverage_and_verdicts_at_each_look() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 300)
    adapted, source_only = (
        np.eye(3)[np.where(random.random(300) < right, labels, (labels + 1) % 3)] * 0.5 + random.random((300, 3)) * 0.2
        for right in (0.85, 0.5)
    )
    outcomes = pl.DataFrame(list(simulate(Subject("tabular", adapted, source_only, labels), draws=30)))
    assert sorted(set(outcomes["look"])) == [20, 30, 50, 100]
    assert outcomes["covered"].cast(pl.Float64).mean() > 0.85  # type: ignore[operator]
    assert set(outcomes.filter(pl.col("look") == 100)["verdict"]) == {"yes"}
    lines = table(outcomes).splitlines()
    assert len(lines) == 2 + 8
    assert lines[-1].startswith("| all | 100 | 30 |")
