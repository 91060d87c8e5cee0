from dataclasses import replace
from math import nan

import pytest

from worker.estimates.accuracy_estimate import FITTED, FittedCoefficients, estimate_accuracy
from worker.estimates.estimators import ESTIMATES, ESTIMATORS, UNCERTAINTY_SOURCES

AGREEING = {**dict.fromkeys(ESTIMATES, 0.8), **dict.fromkeys(UNCERTAINTY_SOURCES, 0.0), "other_reverse_accuracy": 0.8}


def test_agreeing_estimators_give_their_value() -> None:
    result = estimate_accuracy(AGREEING)
    assert result.value == pytest.approx(0.8)
    assert 0 <= result.low < 0.8 < result.high <= 1


@pytest.mark.parametrize("name", ["shifted", "sampling", "prior_distance"])
def test_uncertainty_source_never_narrows_the_interval(name: str) -> None:
    fitted = FittedCoefficients(FITTED.weights, {**FITTED.uncertainty_weights, name: 0.1}, FITTED.below, FITTED.above)
    calm, doubtful = estimate_accuracy(AGREEING, fitted), estimate_accuracy({**AGREEING, name: 0.5}, fitted)
    assert doubtful.high - doubtful.low > calm.high - calm.low


def test_label_shift_widens_the_interval() -> None:
    calm, shifted = estimate_accuracy(AGREEING), estimate_accuracy({**AGREEING, "shifted": 1.0})
    assert shifted.low < calm.low - 0.03
    assert shifted.value == calm.value


def test_critic_only_lowers_the_estimate() -> None:
    assert estimate_accuracy({**AGREEING, "critic": 0.5}).value < 0.8
    assert estimate_accuracy({**AGREEING, "critic": 1.0}).value == pytest.approx(0.8)


def test_lowest_point_estimate_counts() -> None:
    for name in ("difference_of_confidences", "thresholded_confidence", "reverse_accuracy", "reverse_confidence"):
        assert estimate_accuracy({**AGREEING, name: 0.3}).value < 0.7


def test_other_network_counts_in_proportion_to_its_student() -> None:
    values, fitted = {**AGREEING, "prior_distance": 0.5}, replace(FITTED, weights=dict.fromkeys(FITTED.weights, 0.5))
    assert (
        estimate_accuracy(values, fitted).value < estimate_accuracy({**values, "other_reverse_accuracy": 0.1}, fitted).value - 0.1
    )


def test_undefined_estimators_are_ignored() -> None:
    missing = dict.fromkeys(("critic", "reverse_accuracy", "reverse_confidence"), nan)
    assert estimate_accuracy({**AGREEING, **missing}) == estimate_accuracy(AGREEING)


def test_interval_stays_between_zero_and_one() -> None:
    for value in (0.0, 1.0):
        result = estimate_accuracy({**dict.fromkeys(ESTIMATORS, value), "sampling": 1.0})
        assert 0 <= result.low <= result.value <= result.high <= 1
