"""What every validator must do; a new one is tested here without a line of its own."""

import math

import numpy as np
import pytest

from app.validators import VALIDATORS
from tests.support.model_outputs import evidence
from worker import validators
from worker.evaluation.outputs import ModelOutputs


@pytest.mark.parametrize("name", VALIDATORS)
def test_it_is_the_same_whenever_it_is_asked(name: str) -> None:
    score = validators.load(name)
    assert score(evidence(2)) == pytest.approx(score(evidence(2)), nan_ok=True)


@pytest.mark.parametrize("name", VALIDATORS)
def test_the_order_of_the_examples_does_not_count(name: str) -> None:
    given, order = evidence(3), np.random.default_rng(1).permutation(120)
    shuffled = ModelOutputs(
        given.source_features[order],
        given.source_logits[order],
        given.source_labels[order],
        given.target_features[order],
        given.target_logits[order],
    )
    score = validators.load(name)
    assert score(shuffled) == pytest.approx(score(given), abs=0.02, nan_ok=True)


def test_all_scores_are_numbers_and_nothing_but_whether_it_is_right_is_said_of_one_example() -> None:
    found = validators.scores(evidence(3))
    assert set(found) == set(VALIDATORS)
    assert math.isfinite(found["source_accuracy"])
    assert math.isfinite(found["information_maximisation"])
    of_one = validators.scores(evidence(3, rows=1))
    assert of_one.pop("source_accuracy") in (0, 1)
    assert all(map(math.isnan, of_one.values()))
