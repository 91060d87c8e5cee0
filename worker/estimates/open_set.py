"""Source classes that are missing from the target, and target rows of unknown classes.

A class is missing if even the upper end of its estimated target prior is a small part of its source prior. A row is of an
unknown class if it is further from every class than nearly all source rows, and the network is less confident than on nearly
all of them. Chance and domain shift rarely cause either.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.estimates.calibrated_outputs import CalibratedOutputs
from worker.estimates.label_shift import ClassPriors
from worker.evaluation.clustering import class_centroids, l2_normalize
from worker.evaluation.outputs import Float32Array

MISSING_CLASS_FRACTION = 0.2
"""Upper end of the target prior, as a fraction of the source prior, below which a class is missing."""
UNKNOWN_QUANTILE = 0.02
"""Fraction of the source rows that are as distant, and as unsure, as a row of an unknown class."""
MIN_UNKNOWN_RATE = 0.15
"""Excess of unknown rows in the target over the source that causes a warning."""


@dataclass(frozen=True, slots=True)
class UnknownClassRate:
    """Fraction of target rows of unknown classes, and of source rows by the same criterion."""

    target: float
    source: float

    @property
    def is_suspicious(self) -> bool:
        return self.target - self.source >= MIN_UNKNOWN_RATE


def missing_classes(priors: ClassPriors) -> NDArray[np.int64]:
    """Return the indices of source classes that the target seems to lack."""
    upper = np.maximum(priors.high, priors.em)
    missing: NDArray[np.int64] = np.flatnonzero((priors.source > 0) & (upper < MISSING_CLASS_FRACTION * priors.source))
    return missing


def unknown_class_rate(network: CalibratedOutputs) -> UnknownClassRate:
    """Return the fraction of rows that are far from every class centroid and predicted with low confidence."""
    outputs = network.outputs
    centroids = class_centroids(outputs.source_features, outputs.source_labels, len(np.unique(outputs.source_labels)))
    source = leave_one_out_distances(outputs.source_features, outputs.source_labels, centroids)
    target = squared_distances(outputs.target_features, centroids).min(axis=1)
    max_distance = np.quantile(source, 1 - UNKNOWN_QUANTILE)
    source_confidence, target_confidence = network.source_probabilities.max(axis=1), network.target_probabilities.max(axis=1)
    min_confidence = np.quantile(source_confidence, UNKNOWN_QUANTILE)
    return UnknownClassRate(
        float(((target > max_distance) & (target_confidence < min_confidence)).mean()),
        float(((source > max_distance) & (source_confidence < min_confidence)).mean()),
    )


def leave_one_out_distances(features: Float32Array, labels: NDArray[np.int64], centroids: Float32Array) -> Float32Array:
    """Return the squared distance of each normalised row (n, d) to the nearest of the class centroids (k, d).

    The row is left out of the centroid of its own class: for a mean of m rows, this multiplies the distance by m / (m - 1),
    squared. The only row of a class has no distance to it.
    """
    _, own_class, counts = np.unique(labels, return_inverse=True, return_counts=True)
    squared, rows, is_single = squared_distances(features, centroids), np.arange(len(own_class)), counts[own_class] == 1
    squared[rows, own_class] *= np.square(counts / np.maximum(counts - 1, 1))[own_class]
    squared[rows[is_single], own_class[is_single]] = np.inf
    nearest: Float32Array = squared.min(axis=1)
    return nearest


def squared_distances(features: Float32Array, centroids: Float32Array) -> Float32Array:
    """Return the squared distances (n, k) of normalised rows (n, d) to centroids (k, d)."""
    rows = l2_normalize(features)
    lengths = np.square(rows).sum(axis=1)[:, None]
    squared: Float32Array = lengths - 2 * rows @ centroids.T + np.square(centroids).sum(axis=1)
    return squared
