"""Estimate of the target accuracy with a 90 % interval, combined from the values of `estimators`.

    value = lowest point estimate + sum_k weight_k adjustment_k
    uncertainty = sum_k weight_k term_k,    interval = value - below uncertainty ... value + above uncertainty

The adjustment weights (0 to 1) are a regression, the uncertainty weights a non-negative regression of its absolute errors.
`below` and `above` are conformal: for tasks left out of both fits, 5 % of the networks lie below and 5 % above the interval.
`benchmarks.estimates.fit` fits all constants to the rows of the benchmark and prints the values of `FITTED`.

The point estimates come from confidence (DoC and two variants of ATC) and from a student of the network's predictions
(`worker.reporting.reverse_validation`). For a network that is confident and wrong, at least one of them is usually low.

FITTED is fitted to 1,030 networks of 17 methods, 382 of them with skewed targets. The data are digits, office images, book
reviews, heart data and tables with drifted columns. On data left out of the fit, the mean error is 7.9 points: from 2.3 (MNIST to
USPS) to 22 (Amazon to webcam without a pretrained encoder). There, 90 % of the intervals contain the truth. On the fitted data
the error is 7.7 points, with 91 % of the intervals.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan

import numpy as np

STUDENT_ALLOWANCE = 0.08
"""Source accuracy that a student may lose to the domain shift alone."""


@dataclass(frozen=True, slots=True)
class FittedCoefficients:
    """Fitted constants: weights of the adjustments and of the uncertainty terms, and the interval's reach in uncertainties."""

    weights: Mapping[str, float]
    uncertainty_weights: Mapping[str, float]
    below: float
    above: float


@dataclass(frozen=True, slots=True)
class AccuracyEstimate:
    """Estimated accuracy (0 to 1) and its 90 % interval."""

    value: float
    low: float
    high: float


FITTED = FittedCoefficients(
    weights={"prior_distance": 0.07, "critic": 0.073},
    uncertainty_weights={
        "always": 0.005,
        "error": 0.122,
        "prior_distance": 0.075,
        "sampling": 0.075,
        "shifted": 0.016,
    },
    below=2.92,
    above=2.38,
)


def estimate_accuracy(estimators: Mapping[str, float], fitted: FittedCoefficients = FITTED) -> AccuracyEstimate:
    """Combine a network's estimator values into one estimate."""
    value = combined_value(estimators, fitted)
    width = uncertainty(estimators, value, fitted)
    return AccuracyEstimate(value, max(0.0, value - fitted.below * width), min(1.0, value + fitted.above * width))


def combined_value(estimators: Mapping[str, float], fitted: FittedCoefficients) -> float:
    """Return the estimate without its interval."""
    adjustment = sum(fitted.weights[name] * value for name, value in adjustments(estimators).items())
    return float(np.clip(lowest_estimate(estimators) + adjustment, 0, 1))


def uncertainty(estimators: Mapping[str, float], value: float, fitted: FittedCoefficients) -> float:
    """Return the quantity that the interval's width is proportional to."""
    return sum(fitted.uncertainty_weights[name] * term for name, term in uncertainty_terms(estimators, value).items())


def lowest_estimate(estimators: Mapping[str, float]) -> float:
    """Return the lowest point estimate: each one misses errors that another detects."""
    return min(1.0, *point_estimates(estimators))


def point_estimates(estimators: Mapping[str, float]) -> list[float]:
    """Return the estimates of the accuracy that are defined."""
    estimates = (
        estimators["difference_of_confidences"],
        estimators["thresholded_confidence"],
        estimators["thresholded_entropy"],
        estimators["reverse_confidence"],
        estimators["reverse_accuracy"] + STUDENT_ALLOWANCE,
    )
    return [value for value in estimates if not isnan(value)]


def adjustments(estimators: Mapping[str, float]) -> dict[str, float]:
    """Return the terms that move the lowest estimate. The critic is an upper limit, so it only lowers it.

    The class priors of the other network count in proportion to the source accuracy of its student.
    """
    critic = estimators["critic"]
    return {
        "prior_distance": -estimators["other_reverse_accuracy"] * estimators["prior_distance"],
        "critic": 0.0 if isnan(critic) else min(0.0, critic - lowest_estimate(estimators)),
    }


def uncertainty_terms(estimators: Mapping[str, float], value: float) -> dict[str, float]:
    """Return the non-negative terms that widen the interval of an estimate."""
    return {
        "always": 1.0,
        "prior_distance": estimators["prior_distance"],
        "shifted": estimators["shifted"],
        "sampling": estimators["sampling"],
        "error": 1 - value,
    }
