"""Responses of equal predictions are equal in every format."""

import json
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from app.errors import InvalidInputs
from app.serving import responses
from app.serving.loaded_model import LoadedModel
from app.serving.responses import OutputOptions

CLASSES = ('1 "%d"', "%", "é")
VERSION = cast(LoadedModel, SimpleNamespace(model='a "%s"', number=7, classes=CLASSES, threshold=0.6))


def read(document: bytes) -> Any:
    """Parse JSON and round its numbers: exponential functions differ in the last digit."""
    return json.loads(document, parse_float=lambda text: round(float(text), 12))


@pytest.mark.parametrize("options", [OutputOptions(), OutputOptions(1), OutputOptions(1000, probabilities=True)])
@pytest.mark.parametrize("rows", [1, 5])
def test_few_and_many_rows_have_the_same_format(rows: int, options: OutputOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = np.random.default_rng(rows).normal(0, 3, (rows, len(CLASSES))).astype(np.float32)
    logits[0] = [2.0, 1.0, 2.0]  # of equals the first comes first
    few = responses.to_json(logits, VERSION, options)
    monkeypatch.setattr(responses, "PURE_PYTHON_MAX_LOGITS", 0)
    many = responses.to_json(logits, VERSION, options)

    assert read(many) == read(few)
    first = read(many)["predictions"][0]
    assert (first["label"], first["abstained"]) == (CLASSES[0], True)
    assert [each["label"] for each in first["top"]] == [CLASSES[0], CLASSES[2], CLASSES[1]][: options.top_k]
    if options.probabilities:
        assert list(first["probabilities"]) == list(CLASSES)


@pytest.mark.parametrize("rows", [2, responses.PURE_PYTHON_MAX_LOGITS])
def test_rows_without_finite_logits_are_named(rows: int) -> None:
    logits = np.zeros((rows, len(CLASSES)), np.float32)
    logits[1, 2] = np.inf
    with pytest.raises(InvalidInputs) as caught:
        responses.to_json(logits, VERSION, OutputOptions())
    assert [error.pointer for error in caught.value.errors] == ["/inputs/1"]
