"""Probabilities that mean what they say: one temperature, fitted on the held-out source.

Guo et al., ICML 2017, https://arxiv.org/abs/1706.04599
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from worker.evaluation.outputs import Floats, probabilities

BINS = 15
MAX_TEMPERATURE = 20.0  # and the coldest is its inverse


@dataclass(frozen=True, slots=True)
class Calibration:
    """The temperature that logits are divided by, and the expected calibration error (0 to 1) on the held-out source."""

    temperature: float
    error_before: float
    error_after: float


def calibrate(logits: Floats, labels: NDArray[np.int64]) -> Calibration:
    """Fit on all the rows (n, classes), two or more; the error after is that of each half by the temperature of the other."""
    even = np.arange(len(labels)) % 2 == 0
    shares = np.empty(logits.shape)
    for half in (even, ~even):
        shares[half] = probabilities(logits[half], fit_temperature(logits[~half], labels[~half]))
    return Calibration(
        fit_temperature(logits, labels),
        expected_calibration_error(probabilities(logits), labels),
        expected_calibration_error(shares, labels),
    )


def fit_temperature(logits: Floats, labels: NDArray[np.int64]) -> float:
    """The temperature with the smallest cross-entropy on (n, classes) logits and (n,) labels.

    A share of 1 / (n + 1) of each label is spread over all classes, as if one row more had been anybody's guess: a network that
    is right about every row of a few is not to be certain of everything. After Platt, 1999, "Probabilistic outputs for SVMs".
    """
    guess = 1 / (len(labels) + 1)
    own = np.take_along_axis(logits, labels[:, None], axis=1)[:, 0].astype(np.float64)
    own = (1 - guess) * own + guess * logits.mean(axis=1, dtype=np.float64)

    def loss(power: float) -> float:
        scale = np.exp(-power)
        return float((logsumexp(logits * scale, axis=1) - own * scale).mean())

    found = minimize_scalar(loss, bounds=(-np.log(MAX_TEMPERATURE), np.log(MAX_TEMPERATURE)), method="bounded")
    return float(np.exp(found.x))


def expected_calibration_error(shares: NDArray[np.float64], labels: NDArray[np.int64], bins: int = BINS) -> float:
    """Mean distance of confidence and accuracy over bins of equal width of the largest probability; inputs (n, classes), (n,)."""
    confidence, right = shares.max(axis=1), shares.argmax(axis=1) == labels
    number = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    return float(np.abs(np.bincount(number, right - confidence, minlength=bins)).sum() / len(labels))


def confidence_threshold(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """The confidence that as many source rows (n,) stay below as are wrong; infinite where all are.

    Garg et al., ICLR 2022, https://arxiv.org/abs/2201.04234 (ATC)
    """
    wrong = int((~right).sum())
    return float(np.sort(confidence)[wrong]) if wrong < len(confidence) else np.inf
