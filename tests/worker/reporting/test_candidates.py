"""Which of two networks becomes the version."""

from dataclasses import replace
from math import nan

from tests.support.toy_problems import table_network
from tests.support.transfer_cases import CLEAR, network
from worker.estimates.calibrated_outputs import CalibratedOutputs, ReverseValidation
from worker.estimates.transfer_verdict import DISPUTED, HARMLESS
from worker.reporting.candidates import Candidate, compare
from worker.training.trials import Trial


def found(study: CalibratedOutputs) -> Candidate:
    return Candidate(Trial({}, 1, 1, {"entropy": nan}), table_network(4), study.evidence, study.calibration, study, None)


WEAK, STRONG = found(network(1.5)), found(network(5))
ALMOST, NEARLY = found(network(4)), found(network(3.3))
"""Differ from the strong one on a handful of the 600 rows, and on some more."""


def test_a_network_that_hurts_is_rejected_unless_it_is_wanted_anyhow() -> None:
    hurt = compare(WEAK, STRONG, fallback=True)
    assert hurt.selected is STRONG
    assert hurt.discarded is WEAK
    wanted = compare(WEAK, STRONG, fallback=False)
    assert wanted.selected is WEAK
    assert wanted.discarded is STRONG


def test_a_search_does_not_leave_the_source_alone_for_a_few_rows() -> None:
    asked = compare(STRONG, ALMOST, fallback=True)
    assert asked.verdict is not None
    assert asked.verdict.disagreements <= HARMLESS * 600
    assert asked.selected is STRONG
    assert compare(STRONG, ALMOST, fallback=True, searched=True).selected is STRONG
    kept = compare(STRONG, NEARLY, fallback=True, searched=True)
    assert kept.verdict is not None
    assert HARMLESS * 600 < kept.verdict.disagreements < DISPUTED
    assert kept.selected is NEARLY
    assert "it takes 30" in str(kept.reason)
    assert asked.reason is None
    assert compare(STRONG, WEAK, fallback=True, searched=True).selected is STRONG


def test_a_search_does_not_leave_the_source_alone_for_labels_that_do_not_hold_there() -> None:
    def taught(accuracy: float) -> Candidate:
        return found(replace(network(5), reverse=ReverseValidation(accuracy, 0.9)))

    assert compare(taught(0.9), WEAK, fallback=True, searched=True).selected is not WEAK
    kept = compare(taught(0.6), WEAK, fallback=True, searched=True)
    assert kept.selected is WEAK
    assert "mean something else" in str(kept.reason)
    assert compare(taught(0.6), WEAK, fallback=True).selected is not WEAK


def test_of_a_small_target_fewer_rows_decide() -> None:
    verdict = replace(CLEAR, helped="unsure", disagreements=8, rows=48)
    assert verdict.supports_adapted
    assert not replace(verdict, disagreements=7).supports_adapted
    assert not replace(verdict, rows=300).supports_adapted
    assert replace(verdict, rows=600).supports_adapted


def test_a_search_that_found_nothing_better_says_so() -> None:
    assert "no candidate" in str(compare(WEAK, WEAK, fallback=True, searched=True).reason)


def test_where_there_is_nothing_to_compare_with_the_network_is_kept() -> None:
    alone = compare(WEAK, None, fallback=True)
    assert (alone.selected, alone.helped, alone.discarded) == (WEAK, None, None)
