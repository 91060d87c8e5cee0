import math
from dataclasses import replace

import numpy as np
import pytest

from tests.support.model_outputs import model_outputs
from worker.estimates import estimators
from worker.estimates.calibrated_outputs import CalibratedOutputs, ReverseValidation, calibrate_outputs
from worker.evaluation.outputs import ModelOutputs


def calibrated(given: ModelOutputs) -> CalibratedOutputs:
    network = calibrate_outputs(given)
    assert network is not None
    return network


NETWORK = calibrated(model_outputs(2, rows=400))


def calibrated_world(hard: float, rows: int = 20000) -> tuple[CalibratedOutputs, float]:
    """Return a calibrated network, with a fraction of hard target rows, and its target accuracy."""
    random = np.random.default_rng(0)

    def side(hard_fraction: float) -> tuple[np.ndarray, np.ndarray]:
        confidence = np.where(random.random(rows) < hard_fraction, random.uniform(0.5, 0.7, rows), random.uniform(0.9, 1.0, rows))
        return np.stack([confidence, 1 - confidence], axis=1), random.random(rows) < confidence

    (source, right), (target, truth) = side(0.2), side(hard)
    given = ModelOutputs(
        np.zeros((rows, 1), np.float32),
        source.astype(np.float32),
        np.where(right, 0, 1),
        np.zeros((rows, 1), np.float32),
        target.astype(np.float32),
    )
    return replace(NETWORK, outputs=given, source_probabilities=source, target_probabilities=target), float(truth.mean())


@pytest.mark.parametrize("hard", [0.2, 0.5, 0.8])
def test_confidence_of_a_calibrated_network_equals_its_accuracy(hard: float) -> None:
    network, truth = calibrated_world(hard)
    assert estimators.average_confidence(network) == pytest.approx(truth, abs=0.01)
    assert estimators.difference_of_confidences(network) == pytest.approx(truth, abs=0.01)


def test_threshold_leaves_as_many_source_rows_below_as_are_wrong() -> None:
    source = np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.7, 0.3]])
    target = np.array([[0.65, 0.35], [0.2, 0.8], [0.75, 0.25], [0.5, 0.5], [0.95, 0.05]])
    labels = np.array([0, 1, 0, 0])  # the second row, the least certain, is wrong
    given = replace(NETWORK.outputs, source_logits=source.astype(np.float32), source_labels=labels)
    network = replace(NETWORK, outputs=given, source_probabilities=source, target_probabilities=target)
    assert estimators.thresholded_confidence(network) == pytest.approx(3 / 5)
    assert estimators.thresholded_entropy(network) == pytest.approx(3 / 5)
    assert estimators.thresholded_confidence(replace(network, target_probabilities=source)) == pytest.approx(3 / 4)
    all_wrong = replace(network, outputs=replace(given, source_labels=np.ones(4, np.int64)))
    assert estimators.thresholded_confidence(all_wrong) == 0


def test_even_predictions_on_a_skewed_target_are_limited_by_priors() -> None:
    random = np.random.default_rng(0)
    even, skewed = random.integers(0, 4, 1000), random.choice(4, 1000, p=[0.7, 0.1, 0.1, 0.1])
    features = (9 * np.eye(4)).astype(np.float32)
    baseline = calibrated(ModelOutputs(features[even], features[even], even, features[skewed], features[skewed]))
    forced = calibrated(ModelOutputs(features[even], features[even], even, features[even], features[even]))
    assert estimators.thresholded_confidence(forced) > 0.99
    assert estimators.prior_limited_confidence(forced, baseline) == pytest.approx(1 - 0.45, abs=0.05)
    assert estimators.prior_limited_confidence(baseline, baseline) > 0.95


def test_every_estimator_is_between_zero_and_one() -> None:
    other = replace(calibrated(model_outputs(1, rows=400, seed=3)), reverse=ReverseValidation(0.6, 0.5))
    network = estimators.estimator_values(replace(NETWORK, critic=1.2, reverse=ReverseValidation(0.8, 0.7)), other)
    assert tuple(network) == estimators.ESTIMATORS
    assert all(0 <= value <= 1 for value in network.values())
    alone = estimators.estimator_values(NETWORK)
    unknown = {"critic", "reverse_accuracy", "reverse_confidence"}
    assert {name for name, value in alone.items() if math.isnan(value)} == unknown


def test_too_few_rows_give_no_calibrated_outputs() -> None:
    given = model_outputs(2)
    assert (
        calibrate_outputs(replace(given, source_features=given.source_features[:0], source_logits=given.source_logits[:0]))
        is None
    )
    assert (
        calibrate_outputs(replace(given, target_features=given.target_features[:7], target_logits=given.target_logits[:7]))
        is None
    )
