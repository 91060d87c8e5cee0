"""Properties of every validator; a new validator is tested here automatically."""

import math

import numpy as np
import pytest
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from app.validators import VALIDATORS
from tests.support.model_outputs import model_outputs
from worker import validators
from worker.evaluation.outputs import ModelOutputs


@pytest.mark.parametrize("name", VALIDATORS)
def test_score_is_deterministic(name: str) -> None:
    score = validators.load(name)
    assert score(model_outputs(2)) == pytest.approx(score(model_outputs(2)), nan_ok=True)


def test_scores_do_not_depend_on_the_number_of_threads() -> None:
    outputs, found = model_outputs(3, rows=600), []
    for threads in (1, 4):
        with threadpool_limits(threads):
            found.append(validators.scores(outputs))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", VALIDATORS)
def test_score_ignores_the_order_of_examples(name: str) -> None:
    given, order = model_outputs(3), np.random.default_rng(1).permutation(120)
    shuffled = ModelOutputs(
        given.source_features[order],
        given.source_logits[order],
        given.source_labels[order],
        given.target_features[order],
        given.target_logits[order],
    )
    score = validators.load(name)
    assert score(shuffled) == pytest.approx(score(given), abs=0.02, nan_ok=True)


def test_one_example_has_only_a_source_accuracy() -> None:
    scores = validators.scores(model_outputs(3))
    assert set(scores) == set(VALIDATORS)
    assert math.isfinite(scores["source_accuracy"])
    assert math.isfinite(scores["information_maximisation"])
    scores_of_one = validators.scores(model_outputs(3, rows=1))
    assert scores_of_one.pop("source_accuracy") in (0, 1)
    assert all(map(math.isnan, scores_of_one.values()))
