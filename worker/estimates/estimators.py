"""What bears on the accuracy on the target: estimates of it, each wrong in its own way, and reasons to doubt them.

`accuracy` makes one estimate of them.
"""

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
    """Every part by name: ESTIMATES from 0 to 1, nan where there is none, and DOUBTS, which are never nan.

    `other` is the second network of the same job, asked about the same target rows: of an adapted network the one that was
    trained on the source alone, and the reverse.
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
        "sampling": 1 / sqrt(min(len(network.source), len(network.target))),
        "other_reverse_accuracy": other.reverse.accuracy if other and other.reverse else 0.0,
    }


def average_confidence(network: CalibratedOutputs) -> float:
    """Mean of the largest probability on the target."""
    return float(network.target.max(axis=1).mean())


def difference_of_confidences(network: CalibratedOutputs) -> float:
    """DoC: source accuracy + mean confidence on the target - that on the source.

    Guillory et al., ICCV 2021, https://arxiv.org/abs/2107.03315
    """
    found = network.is_correct.mean() + network.target.max(axis=1).mean() - network.source.max(axis=1).mean()
    return float(np.clip(found, 0, 1))


def thresholded_confidence(network: CalibratedOutputs) -> float:
    """ATC-MC: share of the target above the confidence that as many source rows reach as are right.

    Garg et al., ICLR 2022, https://arxiv.org/abs/2201.04234
    """
    return _above(network.source.max(axis=1), network.is_correct, network.target.max(axis=1))


def thresholded_entropy(network: CalibratedOutputs) -> float:
    """ATC-NE: the same by negative entropy."""
    return _above(-entropy(network.source, axis=1), network.is_correct, -entropy(network.target, axis=1))


def within_priors(network: CalibratedOutputs, plain: CalibratedOutputs) -> float:
    """ATC-MC, but no more than the classes' shares leave room for.

    A network that says class k of a share q_k of the rows, where p_k are of that class, errs on at least the total variation
    of q and p. Here p are the priors by the plain network, believed as far as its own errors cannot explain that they
    differ from the source's, and not at all if it has collapsed: adaptation that forces the source's class shares upon a skewed
    target is confident and wrong.
    """
    explained = 1 - thresholded_confidence(plain)
    distance = plain.priors.distance
    belief = 0.0 if plain.has_collapsed or distance == 0 else max(0.0, 1 - explained / distance)
    room = 1 - belief * total_variation(network.predicted_shares, plain.priors.target)
    return min(thresholded_confidence(network), room)


def _above(source: NDArray[np.float64], right: NDArray[np.bool_], target: NDArray[np.float64]) -> float:
    """Share of the target's scores that are not below the threshold with as many source scores below it as are wrong."""
    return float((target >= confidence_threshold(source, right)).mean())
