import pytest

from tests.support.transfer_cases import REFERENCE, drifted_table
from worker.estimates.accuracy_estimate import AccuracyEstimate, estimate_accuracy
from worker.estimates.candidate_evidence import accuracy_evidence


def estimate(drift: float, modality: str = "tabular", *, alone: bool = False) -> AccuracyEstimate:
    table = drifted_table(drift)
    others = [] if alone else [one for name, one in table.candidates.items() if name != REFERENCE]
    return estimate_accuracy(accuracy_evidence(table.candidates[REFERENCE], others, table.facts), modality)


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("modality", ["tabular", "text", "image", "series"])
def test_interval_contains_the_estimate_and_stays_above_chance(modality: str, alone: bool) -> None:
    for drift in (0.0, 1.0):
        result = estimate(drift, modality, alone=alone)
        assert min(0.1, result.value) <= result.low < result.value <= result.high <= 1


@pytest.mark.parametrize("alone", [False, True])
def test_drift_lowers_the_estimate(alone: bool) -> None:
    assert estimate(1.0, alone=alone).value < estimate(0.0, alone=alone).value - 0.1


@pytest.mark.parametrize("drift", [0.0, 1.0])
def test_interval_contains_the_accuracy(drift: float) -> None:
    result = estimate(drift)
    assert result.low <= drifted_table(drift).accuracy(REFERENCE) <= result.high
