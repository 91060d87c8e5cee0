"""Which of two networks becomes the version."""

from dataclasses import replace
from math import nan

from tests.support.toy_problems import table_network
from tests.support.transfer_cases import network
from worker.estimates.calibrated_outputs import CalibratedOutputs, ReverseValidation
from worker.reporting.candidates import NO_BETTER_TRIAL, Candidate, compare
from worker.training.trials import Trial


def candidate(study: CalibratedOutputs) -> Candidate:
    return Candidate(Trial({}, 1, 1, {"entropy": nan}), table_network(4), study.outputs, study.calibration, study, None)


WEAK, STRONG = candidate(network(1.5)), candidate(network(5))
ALMOST_EQUAL, SIMILAR = candidate(network(4)), candidate(network(3.3))
"""Networks that disagree with the strong one on a handful of the 600 rows, and on some more."""


def test_harmful_network_is_discarded_unless_fallback_is_off() -> None:
    with_fallback = compare(WEAK, STRONG, fallback=True)
    assert (with_fallback.selected, with_fallback.discarded) == (STRONG, WEAK)
    without = compare(WEAK, STRONG, fallback=False)
    assert (without.selected, without.discarded) == (WEAK, STRONG)


def test_harmless_disagreements_let_a_search_select_the_adapted_network() -> None:
    comparison = compare(STRONG, ALMOST_EQUAL, fallback=True, searched=True)
    assert comparison.verdict is not None
    assert comparison.verdict.evidence.disagreements <= comparison.verdict.evidence.max_harmless_disagreements
    assert comparison.selected is STRONG
    assert comparison.reason is None


def test_too_few_disagreements_make_a_search_select_source_only() -> None:
    comparison = compare(STRONG, SIMILAR, fallback=True, searched=True)
    assert comparison.verdict is not None
    evidence = comparison.verdict.evidence
    assert evidence.max_harmless_disagreements < evidence.disagreements < evidence.min_disagreements
    assert comparison.selected is SIMILAR
    assert "< 30" in str(comparison.reason)
    assert compare(STRONG, SIMILAR, fallback=True).selected is STRONG
    assert compare(STRONG, WEAK, fallback=True, searched=True).selected is STRONG


def test_failed_reverse_validation_makes_a_search_select_source_only() -> None:
    def with_student(accuracy: float) -> Candidate:
        return candidate(replace(network(5), reverse=ReverseValidation(accuracy, 0.9)))

    assert compare(with_student(0.9), WEAK, fallback=True, searched=True).selected is not WEAK
    comparison = compare(with_student(0.6), WEAK, fallback=True, searched=True)
    assert comparison.selected is WEAK
    assert "student" in str(comparison.reason)
    assert compare(with_student(0.6), WEAK, fallback=True).selected is not WEAK


def test_search_without_a_better_trial_gives_that_reason() -> None:
    assert compare(WEAK, WEAK, fallback=True, searched=True).reason == NO_BETTER_TRIAL


def test_network_without_a_baseline_is_selected() -> None:
    comparison = compare(WEAK, None, fallback=True)
    assert (comparison.selected, comparison.helped, comparison.discarded) == (WEAK, None, None)
