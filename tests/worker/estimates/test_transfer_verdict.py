from dataclasses import replace

import numpy as np
import pytest

from tests.support.transfer_cases import CLEAR, network
from worker.estimates.accuracy_estimate import estimate
from worker.estimates.calibrated_outputs import CalibratedOutputs, study
from worker.estimates.estimators import estimator_values
from worker.estimates.transfer_verdict import KNOWN, answer, judge_transfer
from worker.evaluation.outputs import ModelOutputs


def test_a_network_that_is_surer_of_the_same_classes_helps() -> None:
    found = judge_transfer(network(5), network(1.5))
    assert found.helped == "yes"
    assert found.gain > 0.1
    assert found.validators_in_favour > 0.6


def test_the_same_network_is_no_help_and_no_harm() -> None:
    found = judge_transfer(network(3), network(3))
    assert (found.helped, found.gain, found.validators_in_favour, found.classes_lost) == ("unsure", 0, 0.5, 0)


def test_the_reverse_is_harm() -> None:
    assert judge_transfer(network(1.5), network(5)).helped == "no"


def test_confident_answers_in_even_shares_for_a_skewed_target_are_harm() -> None:
    skewed = (0.7, 0.1, 0.1, 0.1)
    even_answers = np.random.default_rng(1).integers(0, 4, 600)
    found = judge_transfer(network(9, said=even_answers, shares=skewed), network(4, shares=skewed))
    assert found.helped == "no"
    assert found.label_shift_headroom < -0.2
    assert found.class_prior_distance > 0.3


def test_a_plain_network_that_has_collapsed_says_nothing_of_the_class_shares() -> None:
    found = judge_transfer(network(5), network(9, said=np.zeros(600, np.int64)))
    assert found.class_prior_distance > 0.5
    assert found.helped == "unsure"


def test_many_classes_are_no_collapse_and_none_is_lost_by_chance() -> None:
    random, classes = np.random.default_rng(0), 210

    def studied(said: np.ndarray) -> CalibratedOutputs:
        logits = 9 * np.eye(classes, dtype=np.float32)
        found = study(ModelOutputs(logits[:2], logits[:2], np.arange(2), logits[said], logits[said]))
        assert found is not None
        return found

    first, second = (studied(random.integers(0, classes, 1000)) for _ in range(2))
    assert not first.has_collapsed
    assert first.predicted_class_count != second.predicted_class_count
    assert judge_transfer(first, second).classes_lost == judge_transfer(second, first).classes_lost == 0
    few = studied(random.integers(0, 100, 1000))
    assert few.has_collapsed
    assert judge_transfer(few, first).classes_lost > 90


def test_a_plain_network_that_its_own_features_contradict_says_nothing_of_the_class_shares() -> None:
    """Confident, and wrong about most of the target, in shares far from the source's."""
    random = np.random.default_rng(2)
    plain, adapted = network(5), network(5)
    said = (4 * np.eye(4)[random.choice(4, 600, p=(0.6, 0.2, 0.1, 0.1))] * 3).astype(np.float32)
    evidence = replace(plain.evidence, target_logits=said)
    confident = study(evidence)
    assert confident is not None
    assert not confident.has_collapsed
    found = judge_transfer(adapted, confident)
    assert found.label_shift_headroom == 0
    assert found.helped != "no"


@pytest.mark.parametrize(
    "change",
    [
        {"gain": 0.01},
        {"validators_in_favour": 0.5},
        {"class_prior_distance": 0.3},
        {"disagreements": 12},
        {"label_shift_reverted": 0.2},
    ],
)
def test_one_doubt_is_enough_to_be_unsure(change: dict[str, float]) -> None:
    assert answer(CLEAR) == "yes"
    assert answer(replace(CLEAR, **change)) == "unsure"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"source_accuracy_drop": 0.2},
        {"label_shift_headroom": -0.2},
        {"gain": -0.1, "validators_in_favour": 0.2},
        {"classes_lost": 3, "validators_in_favour": 0.5},
        {"label_shift_reverted": 0.07, "label_shift_trusted": True},
    ],
)
def test_each_sign_of_harm_counts_by_itself(change: dict[str, float]) -> None:
    assert answer(replace(CLEAR, **change)) == "no"  # type: ignore[arg-type]


def test_one_row_of_nine_is_no_harm_to_the_source() -> None:
    def few(rows: int, wrong: int) -> CalibratedOutputs:
        given = network(5).evidence
        labels = given.source_logits[:rows].argmax(axis=1)
        labels[:wrong] = (labels[:wrong] + 1) % 4
        found = study(
            replace(
                given,
                source_features=given.source_features[:rows],
                source_logits=given.source_logits[:rows],
                source_labels=labels,
            )
        )
        assert found is not None
        return found

    one_of_nine = judge_transfer(few(9, 1), few(9, 0))
    assert one_of_nine.source_accuracy_drop == pytest.approx(1 / 9)
    assert one_of_nine.source_accuracy_drop < one_of_nine.source_accuracy_drop_allowed
    assert answer(replace(CLEAR, source_accuracy_drop=one_of_nine.source_accuracy_drop)) == "no"
    assert (
        answer(
            replace(
                CLEAR,
                source_accuracy_drop=one_of_nine.source_accuracy_drop,
                source_accuracy_drop_allowed=one_of_nine.source_accuracy_drop_allowed,
            )
        )
        == "yes"
    )
    assert judge_transfer(few(300, 36), few(300, 0)).helped == "no"


def test_a_shift_of_the_classes_that_adaptation_takes_back_is_harm_where_it_is_known() -> None:
    skewed, even = (0.7, 0.1, 0.1, 0.1), np.random.default_rng(1).integers(0, 4, 600)
    found = judge_transfer(network(9, said=even, shares=skewed), network(4, shares=skewed))
    assert found.label_shift_trusted
    assert found.label_shift_reverted > 0.3
    assert not judge_transfer(network(5), network(3)).label_shift_trusted


def test_what_the_plain_networks_errors_explain_is_no_known_shift() -> None:
    """0.24 from the source's shares: more than its errors, 0.17, but not by enough; less wrong, it would be believed."""
    some = (0.45, 0.25, 0.15, 0.15)
    adapted, plain = network(9, shares=some), network(2.7, shares=some)
    before = estimate(estimator_values(plain, adapted)).value
    assert before >= KNOWN
    assert plain.priors.distance > 1 - before
    assert not judge_transfer(adapted, plain).label_shift_trusted
    assert judge_transfer(adapted, network(4, shares=some)).label_shift_trusted


def test_what_a_pupil_knows_outweighs_what_is_lost_on_the_source() -> None:
    lost = replace(CLEAR, source_accuracy_drop=0.3)
    assert answer(lost) == "no"
    assert answer(replace(lost, reverse_validation_gain=0.2)) != "no"


def test_what_a_pupil_knows_outweighs_a_lower_estimate() -> None:
    worse = replace(CLEAR, gain=-0.05, validators_in_favour=0.0)
    assert answer(worse) == "no"
    assert answer(replace(worse, reverse_validation_gain=0.15)) == "unsure"
