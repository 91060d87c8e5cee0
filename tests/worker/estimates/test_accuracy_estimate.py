from dataclasses import replace
from math import nan

import pytest

from worker.estimates.accuracy_estimate import FITTED, FittedCoefficients, estimate_accuracy
from worker.estimates.estimators import ESTIMATES, ESTIMATORS, UNCERTAINTY_SOURCES

ALL_SAY = {**dict.fromkeys(ESTIMATES, 0.8), **dict.fromkeys(UNCERTAINTY_SOURCES, 0.0), "other_reverse_accuracy": 0.8}


def test_estimates_that_agree_are_believed() -> None:
    found = estimate_accuracy(ALL_SAY)
    assert found.value == pytest.approx(0.8)
    assert 0 <= found.low < 0.8 < found.high <= 1


@pytest.mark.parametrize("name", ["shifted", "sampling", "prior_distance"])
def test_a_reason_for_doubt_never_narrows_the_interval(name: str) -> None:
    fitted = FittedCoefficients(FITTED.weights, {**FITTED.uncertainty_weights, name: 0.1}, FITTED.below, FITTED.above)
    calm, doubtful = estimate_accuracy(ALL_SAY, fitted), estimate_accuracy({**ALL_SAY, name: 0.5}, fitted)
    assert doubtful.high - doubtful.low > calm.high - calm.low


def test_a_detected_shift_of_the_classes_widens_the_interval() -> None:
    calm, shifted = estimate_accuracy(ALL_SAY), estimate_accuracy({**ALL_SAY, "shifted": 1.0})
    assert shifted.low < calm.low - 0.03
    assert shifted.value == calm.value


def test_what_a_network_cannot_surpass_only_lowers() -> None:
    assert estimate_accuracy({**ALL_SAY, "critic": 0.5}).value < 0.8
    assert estimate_accuracy({**ALL_SAY, "critic": 1.0}).value == pytest.approx(0.8)


def test_the_least_claim_counts() -> None:
    for claim in ("difference_of_confidences", "thresholded_confidence", "reverse_accuracy", "reverse_confidence"):
        assert estimate_accuracy({**ALL_SAY, claim: 0.3}).value < 0.7


def test_another_network_counts_as_far_as_its_pupil_knows_the_source() -> None:
    said, fitted = {**ALL_SAY, "prior_distance": 0.5}, replace(FITTED, weights=dict.fromkeys(FITTED.weights, 0.5))
    assert estimate_accuracy(said, fitted).value < estimate_accuracy({**said, "other_reverse_accuracy": 0.1}, fitted).value - 0.1


def test_parts_that_are_missing_say_nothing() -> None:
    missing = dict.fromkeys(("critic", "reverse_accuracy", "reverse_confidence"), nan)
    assert estimate_accuracy({**ALL_SAY, **missing}) == estimate_accuracy(ALL_SAY)


def test_the_interval_stays_between_zero_and_one() -> None:
    for value in (0.0, 1.0):
        found = estimate_accuracy({**dict.fromkeys(ESTIMATORS, value), "sampling": 1.0})
        assert 0 <= found.low <= found.value <= found.high <= 1
