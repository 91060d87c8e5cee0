"""The estimate of the accuracy on the target, with a 90 % interval, from the parts.

    value = least claim + sum_k weight_k correction_k
    doubt = sum_k doubt_k reason_k,    interval = value - below doubt ... value + above doubt

The weights (0 to 1) are a regression, the doubts a non-negative one of its absolute errors, `below` and `above` conformal: of
networks on tasks that were left out of both, 5 % lie lower and 5 % higher.
`benchmarks.estimates.fit` fits all to the rows of the benchmark and prints what stands in FITTED.

The claims are those of confidence (DoC and two kinds of ATC) and of a pupil of the network's labels
(`worker.reporting.reverse_validation`); where a
network is confident and wrong, one of them knows. FITTED is of 1,030 networks of 17 methods on digits, office pictures, book
reviews, heart data and tables whose columns have drifted, 382 of them with skewed targets. On data left out of the fit they err
by 7.9 points in the mean, from 2.3 (MNIST to USPS) to 22 (Amazon to webcam without a pretrained encoder), and 90 % of the
intervals hold the truth; on these data themselves by 7.7, and 91 %.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan

import numpy as np

ALLOWANCE = 0.08
"""What the shift alone may cost a pupil's accuracy on the source."""


@dataclass(frozen=True, slots=True)
class FittedCoefficients:
    """Fitted constants: of each correction, of each reason for doubt, and how many doubts the interval reaches down and up."""

    weights: Mapping[str, float]
    doubts: Mapping[str, float]
    below: float
    above: float


@dataclass(frozen=True, slots=True)
class AccuracyEstimate:
    """Accuracies from 0 to 1: the estimate and its 90 % interval."""

    value: float
    low: float
    high: float


FITTED = FittedCoefficients(
    weights={"prior_distance": 0.07, "critic": 0.073},
    doubts={
        "always": 0.005,
        "error": 0.122,
        "prior_distance": 0.075,
        "sampling": 0.075,
        "shifted": 0.016,
    },
    below=2.92,
    above=2.38,
)


def estimate(parts: Mapping[str, float], fitted: FittedCoefficients = FITTED) -> AccuracyEstimate:
    """From a network's parts."""
    value = centre(parts, fitted)
    width = uncertainty(parts, value, fitted)
    return AccuracyEstimate(value, max(0.0, value - fitted.below * width), min(1.0, value + fitted.above * width))


def centre(parts: Mapping[str, float], fitted: FittedCoefficients) -> float:
    """The value alone."""
    found = lowest_estimate(parts) + sum(fitted.weights[name] * each for name, each in adjustments(parts).items())
    return float(np.clip(found, 0, 1))


def uncertainty(parts: Mapping[str, float], value: float, fitted: FittedCoefficients) -> float:
    """What the interval's width is a multiple of."""
    return sum(fitted.doubts[name] * each for name, each in uncertainty_terms(parts, value).items())


def lowest_estimate(parts: Mapping[str, float]) -> float:
    """The least of what claims to be the accuracy: each is blind to errors that another sees."""
    return min(1.0, *point_estimates(parts))


def point_estimates(parts: Mapping[str, float]) -> list[float]:
    """Those that are known."""
    found = (
        parts["difference_of_confidences"],
        parts["thresholded_confidence"],
        parts["thresholded_entropy"],
        parts["reverse_confidence"],
        parts["reverse_accuracy"] + ALLOWANCE,
    )
    return [claim for claim in found if not isnan(claim)]


def adjustments(parts: Mapping[str, float]) -> dict[str, float]:
    """How far each part would move the base; the critic, which a network cannot surpass, only ever lowers it.

    The other network's shares of the classes count as far as its pupil knows the source.
    """
    critic = parts["critic"]
    return {
        "prior_distance": -parts["other_reverse_accuracy"] * parts["prior_distance"],
        "critic": 0.0 if isnan(critic) else min(0.0, critic - lowest_estimate(parts)),
    }


def uncertainty_terms(parts: Mapping[str, float], value: float) -> dict[str, float]:
    """What makes an estimate of this value doubtful, each at least 0."""
    return {
        "always": 1.0,
        "prior_distance": parts["prior_distance"],
        "shifted": parts["shifted"],
        "sampling": parts["sampling"],
        "error": 1 - value,
    }
