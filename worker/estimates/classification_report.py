"""Classification metrics on labelled examples, with bootstrap intervals."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.estimates.calibration import BINS, expected_calibration_error
from worker.estimates.confusion import ClassCounts, Confusion, counts_by_class
from worker.evaluation.outputs import LabelledPredictions

BOOTSTRAP_RESAMPLES = 400
INTERVAL_LEVEL = 0.90
MAX_MATRIX_CLASSES = 100
"""Number of classes up to which the metrics contain the whole confusion matrix."""
LARGEST_ERRORS = 50
BLOCK_VALUES = 2**20
"""Values of the resamples that are in memory at once."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MeasuredValue:
    """A metric and its bootstrap interval."""

    value: float
    low: float
    high: float


def classification_report(
    prefix: str, found: LabelledPredictions, confusion: Confusion, classes: list[str], seed: int = 0
) -> dict[str, Any]:
    """Return a version's metrics on one dataset from its predictions and their confusion matrix.

    The keys are `{prefix}_accuracy`, `_balanced_accuracy`, `_macro_f1` and `_calibration_error` (0 to 1), `_intervals` with their
    90 % intervals, `_classes` with the metrics of each class, and those of `confusion_metrics`. Raise ValueError without rows.
    """
    if not len(found.labels):
        raise ValueError("The dataset has no examples, so there is nothing to report on.")
    metrics = metrics_with_intervals(found, confusion, np.random.default_rng(seed))
    return {
        **{f"{prefix}_{name}": metric.value for name, metric in metrics.items()},
        f"{prefix}_intervals": {name: [metric.low, metric.high] for name, metric in metrics.items()},
        f"{prefix}_classes": class_metrics(confusion, classes),
        **{f"{prefix}_{name}": value for name, value in confusion_metrics(confusion, classes).items()},
    }


def confusion_metrics(confusion: Confusion, classes: list[str]) -> dict[str, Any]:
    """Return `confusion` with one row for each true class; above MAX_MATRIX_CLASSES only its `largest_errors`."""
    if confusion.classes <= MAX_MATRIX_CLASSES:
        return {"confusion": confusion.matrix().astype(int).tolist()}
    return {"largest_errors": confusion.largest_errors(LARGEST_ERRORS).table(classes).to_dicts()}


def class_metrics(confusion: Confusion, classes: list[str]) -> dict[str, dict[str, float | int | None]]:
    """Return examples, correct predictions, recall and precision of each class; None for a division by zero."""
    counts = confusion.class_counts()
    (true,), (predicted,), (correct,) = counts.true, counts.predicted, counts.correct
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
    found: LabelledPredictions, confusion: Confusion, random: np.random.Generator
) -> dict[str, MeasuredValue]:
    """Return every metric with its interval."""
    values, resampled = rates(confusion.class_counts()), _resampled_rates(confusion, random)
    metrics = {name: _with_interval(float(value[0]), resampled[name]) for name, value in values.items()}
    error = expected_calibration_error(found.confidence, found.correct)
    return {**metrics, "calibration_error": _with_interval(error, _calibration_errors(found, random))}


def rates(counts: ClassCounts) -> dict[str, FloatArray]:
    """Return accuracy, balanced accuracy and macro F1 (r,) of r tables.

    Classes that do not occur in a table do not count.
    """
    recall = counts.correct / np.maximum(counts.true, 1)
    either = counts.true + counts.predicted
    f1 = 2 * counts.correct / np.maximum(either, 1)
    return {
        "accuracy": counts.correct.sum(axis=1) / counts.true.sum(axis=1),
        "balanced_accuracy": recall.sum(axis=1) / (counts.true > 0).sum(axis=1),
        "macro_f1": f1.sum(axis=1) / (either > 0).sum(axis=1),
    }


def _resampled_rates(confusion: Confusion, random: np.random.Generator) -> dict[str, FloatArray]:
    """Return the rates of BOOTSTRAP_RESAMPLES resamples.

    The bootstrap draws the counts of the cells that occur, which is the same as to draw rows. It adds one row of a random class
    with a random prediction, so that nine correct rows of nine do not give an interval of width zero.
    """
    block = max(1, min(BOOTSTRAP_RESAMPLES, BLOCK_VALUES // max(len(confusion.counts), confusion.classes)))
    sizes = [min(block, BOOTSTRAP_RESAMPLES - start) for start in range(0, BOOTSTRAP_RESAMPLES, block)]
    parts = [rates(_resampled(confusion, size, random)) for size in sizes]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _resampled(confusion: Confusion, tables: int, random: np.random.Generator) -> ClassCounts:
    rows = confusion.rows
    drawn = random.multinomial(rows, np.append(confusion.counts, 1) / (rows + 1), tables).astype(np.float64)
    counts = counts_by_class(confusion.true, confusion.predicted, drawn[:, :-1], confusion.classes)
    added = np.repeat(np.arange(tables), drawn[:, -1].astype(np.int64))
    true = confusion.true[np.searchsorted(confusion.counts.cumsum(), random.integers(rows, size=len(added)), side="right")]
    predicted = random.integers(confusion.classes, size=len(added))
    is_correct = true == predicted
    np.add.at(counts.true, (added, true), 1)
    np.add.at(counts.predicted, (added, predicted), 1)
    np.add.at(counts.correct, (added[is_correct], true[is_correct]), 1)
    return counts


def _calibration_errors(found: LabelledPredictions, random: np.random.Generator) -> FloatArray:
    """Return the expected calibration error of resampled rows (BOOTSTRAP_RESAMPLES,).

    The sum of the gaps in a bin is nearly normal, so sums are drawn instead of rows.
    """
    gap = found.correct - found.confidence
    index = np.minimum((found.confidence * BINS).astype(np.int64), BINS - 1)
    sums, squares = (np.bincount(index, values, minlength=BINS) for values in (gap, gap**2))
    covariance = np.diag(squares) - np.outer(sums, sums) / len(gap)
    drawn = random.multivariate_normal(sums, covariance, BOOTSTRAP_RESAMPLES, method="eigh")
    errors: FloatArray = np.abs(drawn).sum(axis=1) / len(gap)
    return errors


def _with_interval(value: float, resampled: FloatArray) -> MeasuredValue:
    """Return the value with its bootstrap interval, widened to contain the value.

    Resampling adds noise, which only increases a distance from zero.
    """
    low, high = np.quantile(resampled, ((1 - INTERVAL_LEVEL) / 2, (1 + INTERVAL_LEVEL) / 2))
    return MeasuredValue(value, min(value, float(low)), max(value, float(high)))
