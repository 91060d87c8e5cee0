"""Options of tables in whole jobs: domains, groups, shared columns and texts."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from app.db.tables import DatasetRow
from tests.support.factories import csv_bytes
from tests.support.job_bench import Bench, bench
from worker.data.attempt_context import AttemptContext
from worker.data.job_inputs import load
from worker.data.splits import grouped_split
from worker.data.training_setup import choose_device, encode_dataset, prepare_training

__all__ = ["bench"]  # the fixture

LOGISTIC = {"algorithm": "logistic_regression"}
LINEAR = {"network": "linear", "source_map": False}


def table(bench: Bench, name: str, columns: Mapping[str, Any], **options: Any) -> DatasetRow:
    return bench.dataset("tabular", f"{name}.csv", csv_bytes(list(columns), zip(*columns.values(), strict=True)), **options)


def learned(result: Any) -> dict[str, str]:
    """Return the columns that the version takes, with their kinds."""
    columns = result.manifest.preprocessing["columns"]
    return {column["name"]: column["kind"] for column in columns if column["kind"] != "unused"}


def test_column_of_domains_makes_several_sources_of_one_table(bench: Bench) -> None:
    random = np.random.default_rng(0)
    labels, hospitals = np.arange(240) % 2, np.repeat(["a", "b", "c"], 80)
    values = 4 * labels + np.repeat([0.0, 8.0, -8.0], 80) + random.normal(size=240)
    columns = {
        "value": values,
        "other": random.normal(size=240),
        "hospital": hospitals,
        "label": [f"class {one}" for one in labels],
    }
    source = table(bench, "source", columns, domain="hospital")
    target = table(bench, "target", {"value": values[:80] + 20, "other": random.normal(size=80)})
    result = bench.run(bench.job({"algorithm": "standardized_logistic_regression"}, source, target, base=LINEAR))
    assert learned(result) == {"value": "number", "other": "number"}
    assert result.metrics["source_accuracy"] > 0.85
    assert {one["name"]: one["rows"] for one in result.metrics["left_out_sources"]} == {"a": 80, "b": 80, "c": 80}


def test_rows_of_a_group_stay_on_one_side_of_the_split(bench: Bench) -> None:
    """Each patient has a value of its own, so that rows of a known patient would be predicted."""
    random = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 10)
    classes, marks = random.integers(0, 2, 40), random.permutation(40)
    columns = {
        "mark": [f"m{mark}" for mark in marks[patients]],
        "patient": patients,
        "label": [f"c{classes[one]}" for one in patients],
    }
    source = table(bench, "source", columns, group="patient")
    job = bench.job(LOGISTIC, source, base=LINEAR)
    assert learned(bench.run(job)) == {"mark": "category"}
    encoded = encode_source(bench.context(job))
    training, held_out = grouped_split(encoded.labels, encoded.groups, 0.2, seed=0)
    assert not set(encoded.groups[training].tolist()) & set(encoded.groups[held_out].tolist())
    assert bench.run(job).metrics["source_accuracy"] < 0.9


def encode_source(context: AttemptContext) -> Any:
    inputs = load(context)
    assert inputs.source is not None
    return encode_dataset(prepare_training(context, inputs, choose_device("cpu")), inputs.source, context.folder / "encoded")


def test_columns_that_only_one_side_has_are_not_learned(bench: Bench) -> None:
    random = np.random.default_rng(0)
    labels = np.arange(200) % 2
    values = {"shared": 3 * labels + random.normal(size=200), "leak": labels}
    source = table(bench, "source", {**values, "label": [f"class {one}" for one in labels]})
    target = table(bench, "target", {"shared": values["shared"][:50], "later": random.normal(size=50)})
    result = bench.run(bench.job({"algorithm": "coral"}, source, target, base={"network": "linear", "source_map": True}))
    assert learned(result) == {"shared": "number"}
    assert 0.7 < result.metrics["source_accuracy"] < 1.0


def test_texts_of_a_table_are_learned_beside_its_numbers(bench: Bench) -> None:
    random = np.random.default_rng(0)
    labels, prices = np.arange(240) % 2, random.normal(size=240)
    reviews = [f"{'good nice' if one else 'bad poor'} thing {number % 17}" for number, one in enumerate(labels)]
    names = [
        f"{'liked' if one else 'disliked'} {'dear' if price > 0 else 'cheap'}" for one, price in zip(labels, prices, strict=True)
    ]
    source = table(bench, "source", {"review": reviews, "price": prices, "label": names}, texts=["review"])
    result = bench.run(bench.job(LOGISTIC, source, base=LINEAR))
    assert learned(result) == {"review": "text", "price": "number"}
    assert result.metrics["source_accuracy"] > 0.85
