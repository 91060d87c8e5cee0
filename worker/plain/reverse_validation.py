"""Reverse validation with a logistic regression as the student: a second or less for any model."""

import numpy as np
from numpy.typing import NDArray

from worker.plain.data import PlainData, Rows, Scale, fit_scale, take
from worker.plain.linear import LinearClassifier, LinearOptions, fit_linear

TRAIN_FRACTION = 0.75


def reverse_scores(data: PlainData, predicted: NDArray[np.int64], seed: int = 0) -> tuple[float, float]:
    """Return the accuracy on the source of a student of the predictions (m,), and its mean probability of them on other rows.

    `data.source` are labelled rows that trained no model. Of two students, with the scale of the target or of each domain, the
    better one counts.
    """
    target = data.target_rows
    is_training = np.zeros(len(target), np.bool_)
    is_training[np.random.default_rng(seed).permutation(len(target))[: int(TRAIN_FRACTION * len(target))]] = True
    scale = fit_scale(target, data.alignable)
    scaled = scale.apply(target)
    student = fit_linear(take(scaled, is_training), predicted[is_training], data.classes, LinearOptions())
    own = fit_scale(data.source, data.alignable)
    accuracy = max(_accuracy(student, one, data) for one in (scale, own))
    return accuracy, _confidence(student, take(scaled, ~is_training), predicted[~is_training])


def _accuracy(student: LinearClassifier, scale: Scale, data: PlainData) -> float:
    return float((student.logits(scale.apply(data.source)).argmax(axis=1) == data.labels).mean())


def _confidence(student: LinearClassifier, rows: Rows, predicted: NDArray[np.int64]) -> float:
    logits = student.logits(rows)
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    chosen = probabilities[np.arange(len(rows)), predicted] / probabilities.sum(axis=1)
    return float(chosen.mean())
