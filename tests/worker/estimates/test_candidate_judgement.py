from dataclasses import replace
from math import isnan

import numpy as np
import pytest

from tests.support.transfer_cases import REFERENCE, drifted_table
from worker.estimates.candidate_evidence import gain_evidence
from worker.estimates.candidate_judgement import CandidateJudgement, judge_candidate
from worker.estimates.fitted_model import judgement_coefficients
from worker.estimates.reverse_scores import UNTESTED

STANDARDIZED = "standardized_logistic_regression"


def test_repaired_drift_is_a_gain() -> None:
    table = drifted_table(1.0)
    judgement = table.judge(STANDARDIZED)
    assert table.accuracy(STANDARDIZED) > table.accuracy(REFERENCE) + 0.2
    assert (judgement.helped, judgement.is_preferred) == ("yes", True)
    assert judgement.expected_gain > 0.05


def test_adaptation_without_a_shift_is_no_gain() -> None:
    table = drifted_table(0.0)
    judgement = table.judge(STANDARDIZED)
    assert abs(table.accuracy(STANDARDIZED) - table.accuracy(REFERENCE)) < 0.03
    assert judgement.helped != "yes"
    assert judgement.expected_gain < 0.02


def test_confident_candidate_that_predicts_one_class_is_rejected() -> None:
    table = drifted_table(0.0)
    reference = table.candidates[REFERENCE]
    collapsed = replace(reference, target=np.eye(10)[np.zeros(len(table.truth), np.int64)], reverse=UNTESTED)
    judgement = judge_candidate(gain_evidence(collapsed, reference, [table.candidates[STANDARDIZED]], table.facts))
    assert judgement.helped == "no"
    assert not judgement.is_preferred


def test_equal_predictions_are_a_safe_choice_that_does_not_help() -> None:
    assert drifted_table(1.0).judge(REFERENCE) == CandidateJudgement(0.0, 0.0, 0.0, "no", is_safe=True)


def test_missing_reverse_scores_and_other_candidates_count_as_average() -> None:
    table = drifted_table(1.0)
    candidate, reference = (replace(table.candidates[name], reverse=UNTESTED) for name in (STANDARDIZED, REFERENCE))
    evidence = gain_evidence(candidate, reference, [], table.facts)
    assert isnan(evidence["reverse_gain"])
    assert isnan(evidence["others_view"])
    judgement = judge_candidate(evidence)
    assert 0 < judgement.probability_of_gain <= 1 - judgement.probability_of_loss < 1


@pytest.mark.parametrize("alone", [False, True])
def test_coefficients_state_their_origin(alone: bool) -> None:
    fitted = judgement_coefficients(alone=alone)
    assert fitted.origin.datasets >= 40
    assert fitted.origin.digest
    assert 0 < fitted.max_no_probability < min(fitted.min_yes_probability) < 1
    assert ("others_view" in fitted.scales) is not alone
