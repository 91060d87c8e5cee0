"""Classification metrics on labelled examples, with bootstrap intervals."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.estimates.calibration import BINS, expected_calibration_error

BOOTSTRAP_RESAMPLES = 400
INTERVAL_LEVEL = 0.90

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MeasuredValue:
    """A metric and its bootstrap interval."""

    value: float
    low: float
    high: float


def classification_report(
    prefix: str, labels: NDArray[np.int64], predictions: FloatArray, classes: list[str], seed: int = 0
) -> dict[str, Any]:
    """Return a version's metrics on one dataset with labels (n,) and probabilities (n, classes).

    The keys are `{prefix}_accuracy`, `_balanced_accuracy`, `_macro_f1` and `_calibration_error` (0 to 1), `_intervals` with their
    90 % intervals, `_classes` with the metrics of each class, and `_confusion` with one row for each true class.
    Raise ValueError without rows.
    """
    if not len(labels):
        raise ValueError("The dataset has no examples, so there is nothing to report on.")
    counts = confusion(labels, predictions.argmax(axis=1), len(classes))
    metrics = metrics_with_intervals(labels, predictions, counts, np.random.default_rng(seed))
    return {
        **{f"{prefix}_{name}": metric.value for name, metric in metrics.items()},
        f"{prefix}_intervals": {name: [metric.low, metric.high] for name, metric in metrics.items()},
        f"{prefix}_classes": class_metrics(counts, classes),
        f"{prefix}_confusion": counts.astype(int).tolist(),
    }


def confusion(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> FloatArray:
    """Return counts (classes, classes) of inputs (n,): rows are true classes, columns are predicted classes."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes).astype(np.float64)


def class_metrics(counts: FloatArray, classes: list[str]) -> dict[str, dict[str, float | int | None]]:
    """Return examples, correct predictions, recall and precision of each class; None for a division by zero."""
    true, predicted, correct = counts.sum(axis=1), counts.sum(axis=0), counts.diagonal()
    return {
        name: {
            "examples": int(true[number]),
            "correct": int(correct[number]),
            "recall": float(correct[number] / true[number]) if true[number] else None,
            "precision": float(correct[number] / predicted[number]) if predicted[number] else None,
        }
        for number, name in enumerate(classes)
    }


def metrics_with_intervals(
    labels: NDArray[np.int64], predictions: FloatArray, counts: FloatArray, random: np.random.Generator
) -> dict[str, MeasuredValue]:
    """Return every metric with its interval.

    The bootstrap draws confusion matrices and confidence bins instead of rows. It adds one row of a random class with a random
    prediction, so that nine correct rows of nine do not give an interval of width zero.
    """
    smoothed = counts + counts.sum(axis=1, keepdims=True) / (len(labels) * len(counts))
    tables = random.multinomial(len(labels), (smoothed / smoothed.sum()).ravel(), BOOTSTRAP_RESAMPLES)
    values, resampled = rates(counts[None]), rates(tables.reshape(-1, *counts.shape).astype(np.float64))
    metrics = {name: _with_interval(float(values[name][0]), resampled[name]) for name in values}
    error = expected_calibration_error(predictions, labels)
    return {**metrics, "calibration_error": _with_interval(error, _calibration_errors(labels, predictions, random))}


def rates(counts: FloatArray) -> dict[str, FloatArray]:
    """Return accuracy, balanced accuracy and macro F1 (r,) of confusion matrices (r, classes, classes).

    Classes that do not occur in a matrix do not count.
    """
    correct, true, predicted = np.diagonal(counts, axis1=1, axis2=2), counts.sum(axis=2), counts.sum(axis=1)
    recall = correct / np.maximum(true, 1)
    f1 = 2 * correct / np.maximum(true + predicted, 1)
    return {
        "accuracy": correct.sum(axis=1) / counts.sum(axis=(1, 2)),
        "balanced_accuracy": recall.sum(axis=1) / (true > 0).sum(axis=1),
        "macro_f1": f1.sum(axis=1) / (true + predicted > 0).sum(axis=1),
    }


def _calibration_errors(labels: NDArray[np.int64], predictions: FloatArray, random: np.random.Generator) -> FloatArray:
    """Return the expected calibration error of resampled rows (BOOTSTRAP_RESAMPLES,).

    The sum of the gaps in a bin is nearly normal, so sums are drawn instead of rows.
    """
    confidence = predictions.max(axis=1)
    gap = (predictions.argmax(axis=1) == labels) - confidence
    index = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    sums, squares = (np.bincount(index, values, minlength=BINS) for values in (gap, gap**2))
    covariance = np.diag(squares) - np.outer(sums, sums) / len(labels)
    drawn = random.multivariate_normal(sums, covariance, BOOTSTRAP_RESAMPLES, method="eigh")
    errors: FloatArray = np.abs(drawn).sum(axis=1) / len(labels)
    return errors


def _with_interval(value: float, resampled: FloatArray) -> MeasuredValue:
    """Return the value with its bootstrap interval, widened to contain the value.

    Resampling adds noise, which only increases a distance from zero.
    """
    low, high = np.quantile(resampled, ((1 - INTERVAL_LEVEL) / 2, (1 + INTERVAL_LEVEL) / 2))
    return MeasuredValue(value, min(value, float(low)), max(value, float(high)))
