"""Temperature scaling on the held-out source.

Guo et al., ICML 2017, https://arxiv.org/abs/1706.04599
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from worker.evaluation.outputs import Float32Array, probabilities

BINS = 15
MAX_TEMPERATURE = 20.0
"""Largest temperature; its inverse is the smallest."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Temperature that divides the logits, and expected calibration error (0 to 1) on the held-out source."""

    temperature: float
    error_before: float
    error_after: float


def calibrate(logits: Float32Array, labels: NDArray[np.int64]) -> Calibration:
    """Fit the temperature on two or more rows (n, classes).

    The error after calibration is cross-fitted: each half of the rows uses the temperature of the other half.
    """
    even = np.arange(len(labels)) % 2 == 0
    calibrated = np.empty(logits.shape)
    for half in (even, ~even):
        calibrated[half] = probabilities(logits[half], fit_temperature(logits[~half], labels[~half]))
    return Calibration(
        fit_temperature(logits, labels),
        _error(probabilities(logits), labels),
        _error(calibrated, labels),
    )


def _error(predictions: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    return expected_calibration_error(predictions.max(axis=1), predictions.argmax(axis=1) == labels)


def fit_temperature(logits: Float32Array, labels: NDArray[np.int64]) -> float:
    """Return the temperature with the smallest cross-entropy on logits (n, classes) and labels (n,).

    A fraction of 1 / (n + 1) of each label is spread over all classes, as if one more row had a random label. A network that is
    right on a few rows is therefore not fully certain. After Platt, 1999, "Probabilistic outputs for SVMs".
    """
    smoothing = 1 / (len(labels) + 1)
    logits = logits - logits.max(axis=1, keepdims=True)
    own = np.take_along_axis(logits, labels[:, None], axis=1)[:, 0].astype(np.float64)
    own = (1 - smoothing) * own + smoothing * logits.mean(axis=1, dtype=np.float64)

    def loss(log_temperature: float) -> float:
        scale = math.exp(-log_temperature)
        sums = np.exp(logits * scale).sum(axis=1, dtype=np.float64)
        return float((np.log(sums) - own * scale).mean())

    optimum = minimize_scalar(loss, bounds=(-np.log(MAX_TEMPERATURE), np.log(MAX_TEMPERATURE)), method="bounded")
    return float(np.exp(optimum.x))


def expected_calibration_error(confidence: NDArray[np.float64], is_correct: NDArray[np.bool_], bins: int = BINS) -> float:
    """Return the mean distance between confidence (n,) and accuracy over bins of equal width."""
    index = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    return float(np.abs(np.bincount(index, is_correct - confidence, minlength=bins)).sum() / len(confidence))


def confidence_threshold(confidence: NDArray[np.float64], is_correct: NDArray[np.bool_]) -> float:
    """Return the confidence with as many source rows (n,) below it as are wrong; infinity if all are wrong.

    Garg et al., ICLR 2022, https://arxiv.org/abs/2201.04234 (ATC)
    """
    wrong = int((~is_correct).sum())
    return float(np.sort(confidence)[wrong]) if wrong < len(confidence) else np.inf
