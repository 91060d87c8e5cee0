"""What labelled examples say of a network: measured, with bootstrap intervals."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.estimates.calibration import BINS, expected_calibration_error

RESAMPLES = 400
COVERED = 0.90

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MeasuredValue:
    """A figure and its bootstrap interval."""

    value: float
    low: float
    high: float


def report(prefix: str, labels: NDArray[np.int64], shares: FloatArray, classes: list[str], seed: int = 0) -> dict[str, Any]:
    """What a version says of one data set with labels (n,) and probabilities (n, classes).

    `{prefix}_accuracy`, `_balanced_accuracy`, `_macro_f1`, `_calibration_error`, each from 0 to 1; `_intervals` with the 90 %
    interval of each; `_classes` with examples, correct, recall and precision; `_confusion`, rows of true classes.
    Raises ValueError without rows.
    """
    if not len(labels):
        raise ValueError("there are no examples to report on")
    counts = confusion(labels, shares.argmax(axis=1), len(classes))
    figures = measure(labels, shares, counts, np.random.default_rng(seed))
    return {
        **{f"{prefix}_{name}": figure.value for name, figure in figures.items()},
        f"{prefix}_intervals": {name: [figure.low, figure.high] for name, figure in figures.items()},
        f"{prefix}_classes": by_class(counts, classes),
        f"{prefix}_confusion": counts.astype(int).tolist(),
    }


def confusion(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> FloatArray:
    """Counts (classes, classes): the row is the true class, the column the predicted one. Inputs (n,)."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes).astype(np.float64)


def by_class(counts: FloatArray, classes: list[str]) -> dict[str, dict[str, float | int | None]]:
    """Of each class: examples, how many are correct, recall, and precision, None where there is nothing to divide by."""
    true, said, hits = counts.sum(axis=1), counts.sum(axis=0), counts.diagonal()
    return {
        name: {
            "examples": int(true[number]),
            "correct": int(hits[number]),
            "recall": float(hits[number] / true[number]) if true[number] else None,
            "precision": float(hits[number] / said[number]) if said[number] else None,
        }
        for number, name in enumerate(classes)
    }


def measure(
    labels: NDArray[np.int64], shares: FloatArray, counts: FloatArray, random: np.random.Generator
) -> dict[str, MeasuredValue]:
    """Every figure with its interval; the bootstrap draws tables of counts and bins of confidence, not rows.

    As if there had been one row more, of any class, and the answer to it a guess: nine right of nine are no certainty.
    """
    guessed = counts + counts.sum(axis=1, keepdims=True) / (len(labels) * len(counts))
    tables = random.multinomial(len(labels), (guessed / guessed.sum()).ravel(), RESAMPLES).reshape(-1, *counts.shape)
    values, drawn = rates(counts[None]), rates(tables.astype(np.float64))
    found = {name: _measured(float(values[name][0]), drawn[name]) for name in values}
    error = expected_calibration_error(shares, labels)
    return {**found, "calibration_error": _measured(error, _calibration_errors(labels, shares, random))}


def rates(counts: FloatArray) -> dict[str, FloatArray]:
    """Accuracy, balanced accuracy and macro F1 (r,) of tables (r, classes, classes), over the classes that occur in each."""
    hits, true, said = np.diagonal(counts, axis1=1, axis2=2), counts.sum(axis=2), counts.sum(axis=1)
    recall = hits / np.maximum(true, 1)
    f1 = 2 * hits / np.maximum(true + said, 1)
    return {
        "accuracy": hits.sum(axis=1) / counts.sum(axis=(1, 2)),
        "balanced_accuracy": recall.sum(axis=1) / (true > 0).sum(axis=1),
        "macro_f1": f1.sum(axis=1) / (true + said > 0).sum(axis=1),
    }


def _calibration_errors(labels: NDArray[np.int64], shares: FloatArray, random: np.random.Generator) -> FloatArray:
    """The expected calibration error of resampled rows (RESAMPLES,): what a bin's gaps add up to is nearly normal."""
    confidence = shares.max(axis=1)
    gap = (shares.argmax(axis=1) == labels) - confidence
    number = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    sums, squares = (np.bincount(number, values, minlength=BINS) for values in (gap, gap**2))
    covariance = np.diag(squares) - np.outer(sums, sums) / len(labels)
    drawn = random.multivariate_normal(sums, covariance, RESAMPLES, method="eigh")
    errors: FloatArray = np.abs(drawn).sum(axis=1) / len(labels)
    return errors


def _measured(value: float, drawn: FloatArray) -> MeasuredValue:
    """Resampling makes noise of its own, which a distance from zero only grows by: the interval always holds the value."""
    low, high = np.quantile(drawn, ((1 - COVERED) / 2, (1 + COVERED) / 2))
    return MeasuredValue(value, min(value, float(low)), max(value, float(high)))
