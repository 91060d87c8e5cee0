"""Rounds of self-training: a classifier learns the source and its own confident predictions for the target."""

import numpy as np
from numpy.typing import NDArray

from worker.plain.data import Floats, Rows, join, take
from worker.plain.linear import LinearClassifier, LinearOptions, fit_linear


def self_train(
    source: Rows, labels: NDArray[np.int64], target: Rows, classifier: LinearClassifier, options: LinearOptions, rounds: int
) -> LinearClassifier:
    """Return the classifier after these rounds. Round r of R adds the r / R most confident target rows of each class."""
    classes = len(classifier.intercept)
    for number in range(1, rounds + 1):
        logits = classifier.logits(target)
        predicted = logits.argmax(axis=1)
        chosen = _most_confident(logits, predicted, number / rounds)
        both = join([source, take(target, chosen)])
        classifier = fit_linear(both, np.concatenate([labels, predicted[chosen]]), classes, options)
    return classifier


def _most_confident(logits: Floats, predicted: NDArray[np.int64], fraction: float) -> NDArray[np.bool_]:
    """Mark this fraction of the rows predicted as each class, those with the highest probability."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    confidence = 1 / shifted.sum(axis=1)
    chosen = np.zeros(len(logits), np.bool_)
    for number in np.unique(predicted):
        members = np.flatnonzero(predicted == number)
        count = int(np.ceil(fraction * len(members)))
        chosen[members[np.argsort(-confidence[members], kind="stable")[:count]]] = True
    return chosen
