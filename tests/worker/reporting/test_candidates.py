"""Which of two networks becomes the version."""

from math import nan

from tests.support.toy_problems import table_network
from tests.support.transfer_cases import REFERENCE, drifted_table, network
from worker.reporting.candidates import EXPECTED_LOSS, NO_BETTER_TRIAL, Candidate, compare
from worker.training.trials import Trial

TABLE = drifted_table(1.0)


def candidate(name: str) -> Candidate:
    study = network(3)
    trial = Trial({}, 1, 1, {"entropy": nan})
    return Candidate(trial, table_network(4), study.outputs, study.calibration, study, TABLE.candidates[name])


WEAK, STRONG = candidate(REFERENCE), candidate("standardized_logistic_regression")


def test_network_with_an_expected_loss_is_discarded_unless_fallback_is_off() -> None:
    with_fallback = compare(WEAK, STRONG, TABLE.facts, fallback=True)
    assert with_fallback.selected is STRONG
    assert with_fallback.discarded is WEAK
    assert (with_fallback.reason, with_fallback.helped) == (EXPECTED_LOSS, "no")
    without = compare(WEAK, STRONG, TABLE.facts, fallback=False)
    assert without.selected is WEAK
    assert (without.reason, without.helped) == (None, "no")


def test_network_with_an_expected_gain_is_selected() -> None:
    comparison = compare(STRONG, WEAK, TABLE.facts, fallback=True)
    assert comparison.selected is STRONG
    assert comparison.discarded is WEAK
    assert (comparison.reason, comparison.helped) == (None, "yes")


def test_search_without_a_better_trial_gives_that_reason() -> None:
    assert compare(WEAK, WEAK, TABLE.facts, fallback=True).reason == NO_BETTER_TRIAL


def test_network_without_a_baseline_is_selected() -> None:
    comparison = compare(WEAK, None, TABLE.facts, fallback=True)
    assert comparison.selected is WEAK
    assert (comparison.helped, comparison.discarded) == (None, None)
