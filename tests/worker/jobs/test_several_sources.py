"""Jobs that learn from several sources, from stored datasets to the report of the version."""

from typing import Any

import numpy as np
import pytest

from app.db.tables import DatasetRow, JobRow, JobSourceRow
from tests.support.factories import csv_bytes
from tests.support.job_bench import Bench, bench
from worker.data.job_inputs import load

__all__ = ["bench"]  # the fixture

LINEAR = {"network": "linear", "source_map": False}


def hospital(bench: Bench, seed: int, shift: float, *, classes: int = 3, extra: str | None = None, rows: int = 240) -> DatasetRow:
    """Return a table of one domain, whose first numbers are moved by more than the distance of the classes."""
    random = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    numbers = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])[labels] + random.normal(size=(rows, 2)) + (shift, 0.0)
    names = ("first", "second", *([extra] if extra else []), "label")
    cells = [(*pair, *([number % 7] if extra else []), f"class {number}") for pair, number in zip(numbers, labels, strict=True)]
    return bench.dataset("tabular", f"hospital-{seed}.csv", csv_bytes(names, cells))


def job_of(bench: Bench, params: dict[str, Any], sources: list[DatasetRow], *others: DatasetRow, **fields: Any) -> JobRow:
    further = [JobSourceRow(position=position, dataset_id=row.id) for position, row in enumerate(sources) if position]
    return bench.job(params, sources[0], *others, further_sources=further, **fields)


def test_plain_method_scales_each_source_by_itself_and_reports_each_one(bench: Bench) -> None:
    sources = [hospital(bench, 0, -6.0), hospital(bench, 1, 6.0, classes=2, extra="ward"), hospital(bench, 2, 15.0)]
    target, evaluation = hospital(bench, 3, 30.0), hospital(bench, 4, 30.0)
    job = job_of(bench, {"algorithm": "standardized_logistic_regression"}, sources, target, evaluation, base=LINEAR)
    inputs = load(bench.context(job))
    assert inputs.classes == ["class 0", "class 1", "class 2"]
    result = bench.run(job)
    metrics = result.metrics
    columns: Any = result.manifest.preprocessing["columns"]
    assert [column["name"] for column in columns if column["kind"] != "unused"] == ["first", "second"]
    assert metrics["source_accuracy"] > 0.85
    assert metrics["target_accuracy"] > 0.85
    assert metrics["source_only_target_accuracy"] < 0.75
    measured = {one["name"]: one for one in metrics["left_out_sources"]}
    assert {name: one["rows"] for name, one in measured.items()} == {row.name: 240 for row in sources}
    assert measured[sources[2].name]["accuracy"] < 0.7


@pytest.mark.parametrize("algorithm", ["dann", "coral"])
def test_methods_learn_the_classes_of_all_sources(bench: Bench, algorithm: str) -> None:
    sources = [hospital(bench, 0, 0.0, classes=2), hospital(bench, 1, 0.5)]
    target, evaluation = hospital(bench, 2, 1.0), hospital(bench, 3, 1.0)
    fields: dict[str, Any] = {"base": {"network": "linear", "source_map": True}} if algorithm == "coral" else {}
    params: dict[str, Any] = {"algorithm": algorithm, **({} if algorithm == "coral" else {"epochs": 5, "min_steps": 100})}
    metrics = bench.run(job_of(bench, params, sources, target, evaluation, **fields)).metrics
    assert metrics["target_classes"]["class 2"]["recall"] > 0.5
    assert metrics["left_out_sources"][0]["accuracy"] > 0.7
