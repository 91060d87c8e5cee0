"""Evidence that two networks give, and the verdict on it."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.transfer_cases import CLEAR_GAIN, SKEWED, network
from worker.estimates.accuracy_estimate import estimate_accuracy
from worker.estimates.calibrated_outputs import CalibratedOutputs, calibrate_outputs
from worker.estimates.estimators import estimator_values
from worker.estimates.transfer_rules import THRESHOLDS
from worker.estimates.transfer_verdict import TransferVerdict, judge, judge_transfer, measure
from worker.evaluation.outputs import ModelOutputs


def calibrated(outputs: ModelOutputs) -> CalibratedOutputs:
    network = calibrate_outputs(outputs)
    assert network is not None
    return network


def fired(verdict: TransferVerdict) -> list[str]:
    return [rule.name for rule in verdict.fired]


def random_classes(seed: int) -> np.ndarray:
    classes: np.ndarray = np.random.default_rng(seed).integers(0, 4, 600)
    return classes


def test_more_confident_network_on_equal_classes_helps() -> None:
    verdict = judge_transfer(network(5), network(1.5))
    assert verdict.helped == "yes"
    assert verdict.evidence.gain > 0.1
    assert verdict.evidence.validators_in_favour > 0.6
    assert verdict.fired == ()


def test_identical_networks_give_unsure_without_harm() -> None:
    verdict = judge_transfer(network(3), network(3))
    evidence = verdict.evidence
    assert (verdict.helped, evidence.gain, evidence.validators_in_favour, evidence.classes_lost) == ("unsure", 0, 0.5, 0)


def test_less_confident_network_hurts() -> None:
    assert judge_transfer(network(1.5), network(5)).helped == "no"


def test_even_predictions_on_a_skewed_target_hurt() -> None:
    verdict = judge_transfer(network(9, predicted=random_classes(1), priors=SKEWED), network(4, priors=SKEWED))
    assert verdict.helped == "no"
    assert verdict.evidence.label_shift_headroom < -0.2
    assert verdict.evidence.class_prior_distance > 0.3


def test_class_priors_of_a_collapsed_baseline_are_ignored() -> None:
    verdict = judge_transfer(network(5), network(9, predicted=np.zeros(600, np.int64)))
    assert verdict.evidence.class_prior_distance > 0.5
    assert verdict.helped == "unsure"


def test_many_classes_are_neither_collapsed_nor_lost_by_chance() -> None:
    random, classes = np.random.default_rng(0), 210

    def outputs(predicted: np.ndarray) -> CalibratedOutputs:
        logits = 9 * np.eye(classes, dtype=np.float32)
        return calibrated(ModelOutputs(logits[:2], logits[:2], np.arange(2), logits[predicted], logits[predicted]))

    first, second = (outputs(random.integers(0, classes, 1000)) for _ in range(2))
    assert not first.has_collapsed
    assert first.predicted_class_count != second.predicted_class_count
    assert measure(first, second).classes_lost == measure(second, first).classes_lost == 0
    few_classes = outputs(random.integers(0, 100, 1000))
    assert few_classes.has_collapsed
    assert measure(few_classes, first).classes_lost > 90


def test_class_priors_that_the_features_contradict_are_ignored() -> None:
    """The baseline is confident, and wrong about most of the target with priors far from the source's."""
    baseline, wrong = network(5), np.random.default_rng(2).choice(4, 600, p=(0.6, 0.2, 0.1, 0.1))
    confident = calibrated(replace(baseline.outputs, target_logits=(12 * np.eye(4)[wrong]).astype(np.float32)))
    assert not confident.has_collapsed
    verdict = judge_transfer(network(5), confident)
    assert verdict.evidence.label_shift_headroom == 0
    assert verdict.helped != "no"


def test_one_wrong_row_of_nine_is_no_lost_source_accuracy() -> None:
    def outputs(rows: int, wrong: int) -> CalibratedOutputs:
        given = network(5).outputs
        labels = given.source_logits[:rows].argmax(axis=1)
        labels[:wrong] = (labels[:wrong] + 1) % 4
        features, logits = given.source_features[:rows], given.source_logits[:rows]
        return calibrated(replace(given, source_features=features, source_logits=logits, source_labels=labels))

    one_of_nine = measure(outputs(9, 1), outputs(9, 0))
    assert one_of_nine.source_accuracy_drop == pytest.approx(1 / 9)
    assert one_of_nine.source_accuracy_drop < one_of_nine.source_accuracy_drop_allowed
    lost = replace(CLEAR_GAIN, source_accuracy_drop=one_of_nine.source_accuracy_drop)
    assert judge(lost).helped == "no"
    assert judge(replace(lost, source_accuracy_drop_allowed=one_of_nine.source_accuracy_drop_allowed)).helped == "yes"
    assert "source_accuracy_lost" in fired(judge_transfer(outputs(300, 36), outputs(300, 0)))


def test_reverting_a_trusted_label_shift_hurts() -> None:
    verdict = judge_transfer(network(9, predicted=random_classes(1), priors=SKEWED), network(4, priors=SKEWED))
    assert verdict.evidence.label_shift_trusted
    assert verdict.evidence.label_shift_reverted > 0.3
    assert "trusted_label_shift_reverted" in fired(verdict)
    assert not measure(network(5), network(3)).label_shift_trusted


def test_label_shift_explained_by_baseline_errors_is_not_trusted() -> None:
    """The distance, 0.24, exceeds the errors, 0.17, but not by the margin; a more accurate baseline is trusted."""
    mild = (0.45, 0.25, 0.15, 0.15)
    adapted, baseline = network(9, priors=mild), network(2.7, priors=mild)
    accuracy = estimate_accuracy(estimator_values(baseline, adapted)).value
    assert accuracy >= THRESHOLDS.min_baseline_accuracy
    assert baseline.priors.distance > 1 - accuracy
    assert not measure(adapted, baseline).label_shift_trusted
    assert measure(adapted, network(4, priors=mild)).label_shift_trusted
