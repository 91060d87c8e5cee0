"""Jobs of plain methods, from stored datasets to stored artifacts."""

from typing import Any

import numpy as np
import onnxruntime
import pytest

from app.algorithms import PARAMS
from app.db.tables import DatasetRow
from tests.support.factories import csv_bytes, jsonl_bytes
from tests.support.job_bench import Bench, bench

__all__ = ["bench"]  # the fixture


def table(bench: Bench, name: str, seed: int, *, shift: float = 0.0, rows: int = 300) -> DatasetRow:
    """Return a table whose numbers separate the classes; `shift` moves them by more than the distance of the classes."""
    random = np.random.default_rng(seed)
    classes = random.integers(0, 3, rows)
    centres = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])[classes]
    numbers = centres + random.normal(size=(rows, 2)) + shift
    colours = random.choice(["red", "green"], rows)
    cells = [(*pair, colour, f"class {number}") for pair, colour, number in zip(numbers, colours, classes, strict=True)]
    return bench.dataset("tabular", f"{name}.csv", csv_bytes(("first", "second", "colour", "label"), cells))


@pytest.mark.parametrize("algorithm", ["coral", "standardized_gradient_boosting"])
def test_version_of_a_plain_method_is_complete_and_serves(algorithm: str, bench: Bench) -> None:
    source, target, evaluation = table(bench, "s", 0), table(bench, "t", 1, shift=5.0), table(bench, "e", 2, shift=5.0)
    kind = {"network": "trees"} if "boosting" in algorithm else {"network": "linear", "source_map": True}
    params = {"algorithm": algorithm, "quantize": "float16"}
    result = bench.run(bench.job(params, source, target, evaluation, base=kind))
    metrics = result.metrics
    assert metrics["registered"] == "adapted"
    assert metrics["source_accuracy"] > 0.85
    assert metrics["target_accuracy"] > max(0.85, metrics["source_only_target_accuracy"] + 0.1)
    assert metrics["helped_evidence"]["measured"]["reverse_gain"] is not None
    assert result.manifest.network["network"] == kind["network"]
    assert probabilities(bench, result).shape == (4, 3)


def test_search_serves_a_plain_method_that_adapts(bench: Bench) -> None:
    source, target, evaluation = table(bench, "s", 0), table(bench, "t", 1, shift=5.0), table(bench, "e", 2, shift=5.0)
    candidates = ["logistic_regression", "gradient_boosting", "standardized_logistic_regression", "coral", "tent"]
    params = {"algorithm": "auto", "epochs": 1, "candidates": [{"algorithm": name} for name in candidates]}
    result = bench.run(bench.job(PARAMS["auto"].model_validate(params).model_dump(mode="json"), source, target, evaluation))
    tried = {line["params"]["algorithm"]: line for line in result.metrics["search"]}
    assert set(tried) == {"source_only", *candidates}
    assert [name for name, line in tried.items() if line["error"]] == ["tent"]
    (chosen,) = [name for name, line in tried.items() if line["chosen"]]
    assert chosen in ("standardized_logistic_regression", "coral")
    assert result.manifest.network["network"] == "linear"
    assert result.metrics["registered"] == "adapted"
    assert result.metrics["target_accuracy"] > result.metrics["source_only_target_accuracy"] + 0.2


def test_source_only_network_that_is_served_is_trained_to_the_end(bench: Bench) -> None:
    params = {"algorithm": "auto", "epochs": 2, "min_steps": 60, "candidates": [{"algorithm": "tent"}]}
    job = bench.job(PARAMS["auto"].model_validate(params).model_dump(mode="json"), table(bench, "s", 0), table(bench, "t", 1))
    metrics = bench.run(job).metrics
    assert (metrics["registered"], metrics["helped"], metrics["steps"]) == ("source_only", "no", 60)


def probabilities(bench: Bench, result: Any) -> np.ndarray:
    session = onnxruntime.InferenceSession(bench.content(result, "model.onnx"))
    numbers, categories = np.zeros((4, 2), np.float32), np.ones((4, 1), np.int64)
    (logits,) = session.run(["logits"], {"numbers": numbers, "categories": categories})
    return np.asarray(logits)


def test_texts_are_learned_by_a_linear_model(bench: Bench) -> None:
    texts = [
        {"text": f"{'good nice' if number % 2 else 'bad poor'} thing {number}", "label": str(number % 2)} for number in range(120)
    ]
    source = bench.dataset("text", "s.jsonl", jsonl_bytes(texts))
    result = bench.run(bench.job({"algorithm": "logistic_regression"}, source, base={"network": "linear"}))
    assert result.metrics["source_accuracy"] == 1.0
