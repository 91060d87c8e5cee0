"""Estimators of the target accuracy and sources of uncertainty, which `accuracy_estimate` combines."""

from math import nan, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import entropy

from worker.estimates.calibrated_outputs import CalibratedOutputs
from worker.estimates.calibration import confidence_threshold
from worker.estimates.label_shift import total_variation

ESTIMATES = (
    "average_confidence",
    "difference_of_confidences",
    "thresholded_confidence",
    "thresholded_entropy",
    "critic",
    "reverse_accuracy",
    "reverse_confidence",
)
UNCERTAINTY_SOURCES = ("prior_distance", "shifted", "sampling", "other_reverse_accuracy")
ESTIMATORS = ESTIMATES + UNCERTAINTY_SOURCES


def estimator_values(network: CalibratedOutputs, other: CalibratedOutputs | None = None) -> dict[str, float]:
    """Return all values by name: ESTIMATES from 0 to 1, NaN if undefined, and UNCERTAINTY_SOURCES, which are always defined.

    `other` is the second network of the same job on the same target rows: the source-only network for an adapted one, and the
    adapted network for the source-only one.
    """
    return {
        "average_confidence": average_confidence(network),
        "difference_of_confidences": difference_of_confidences(network),
        "thresholded_confidence": thresholded_confidence(network),
        "thresholded_entropy": thresholded_entropy(network),
        "critic": float(np.clip(network.critic, 0, 1)),
        "reverse_accuracy": network.reverse.accuracy if network.reverse else nan,
        "reverse_confidence": network.reverse.confidence if network.reverse else nan,
        "prior_distance": total_variation(network.priors.target, other.priors.target) if other else 0.0,
        "shifted": float(network.priors.shifted or (other is not None and other.priors.shifted)),
        "sampling": 1 / sqrt(min(len(network.source_probabilities), len(network.target_probabilities))),
        "other_reverse_accuracy": other.reverse.accuracy if other and other.reverse else 0.0,
    }


def average_confidence(network: CalibratedOutputs) -> float:
    """Return the mean of the largest probability on the target."""
    return float(network.target_probabilities.max(axis=1).mean())


def difference_of_confidences(network: CalibratedOutputs) -> float:
    """Return DoC: source accuracy + mean target confidence - mean source confidence.

    Guillory et al., ICCV 2021, https://arxiv.org/abs/2107.03315
    """
    target, source = (values.max(axis=1).mean() for values in (network.target_probabilities, network.source_probabilities))
    return float(np.clip(network.is_correct.mean() + target - source, 0, 1))


def thresholded_confidence(network: CalibratedOutputs) -> float:
    """Return ATC-MC: fraction of the target above a confidence that as many source rows reach as are correct.

    Garg et al., ICLR 2022, https://arxiv.org/abs/2201.04234
    """
    source, target = (values.max(axis=1) for values in (network.source_probabilities, network.target_probabilities))
    return _fraction_above(source, network.is_correct, target)


def thresholded_entropy(network: CalibratedOutputs) -> float:
    """Return ATC-NE: the same with negative entropy as the score."""
    source, target = (-entropy(values, axis=1) for values in (network.source_probabilities, network.target_probabilities))
    return _fraction_above(source, network.is_correct, target)


def prior_limited_confidence(network: CalibratedOutputs, baseline: CalibratedOutputs) -> float:
    """Return ATC-MC, limited to the accuracy that the target's class priors allow.

    A network that predicts class k on a fraction q_k of the rows, where p_k belong to it, errs on at least the total variation
    of q and p. Here, p are the class priors found by the source-only network. They count in proportion to the distance from the
    source's priors that its own errors cannot explain, and not at all if it has collapsed. Without this limit, adaptation that
    forces the source's class priors on a skewed target looks accurate, because it is confident and wrong.
    """
    explained = 1 - thresholded_confidence(baseline)
    distance = baseline.priors.distance
    trust = 0.0 if baseline.has_collapsed or distance == 0 else max(0.0, 1 - explained / distance)
    limit = 1 - trust * total_variation(network.predicted_proportions, baseline.priors.target)
    return min(thresholded_confidence(network), limit)


def _fraction_above(source: NDArray[np.float64], is_correct: NDArray[np.bool_], target: NDArray[np.float64]) -> float:
    """Return the fraction of target scores at or above the threshold with as many source scores below it as are wrong."""
    return float((target >= confidence_threshold(source, is_correct)).mean())
