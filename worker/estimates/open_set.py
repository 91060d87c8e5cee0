"""Classes that the target seems to lack, and rows that look like none of the source's classes.

Both say so only of what chance and the domain shift would hardly make: a class is missing when even the upper end of its share
is a small part of what the source has; a row is strange when it lies further from every class than nearly all of the source
does and the network is less sure of it than of nearly all of the source.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.estimates.calibrated_outputs import CalibratedOutputs
from worker.estimates.label_shift import ClassPriors
from worker.evaluation.clustering import class_centroids, l2_normalize

MISSING_SHARE = 0.2
"""Of the source's share, that the upper end of a missing class's interval stays below."""
STRANGE_QUANTILE = 0.02
"""Share of the source that is as far away, and as unsure, as a strange row."""
STRANGE_SHARE = 0.15
"""Of the target, from which strange rows are told of."""


@dataclass(frozen=True, slots=True)
class UnknownClassRate:
    """Share of the target's rows that are strange, and of the source's by the same rule."""

    target: float
    source: float

    @property
    def is_suspicious(self) -> bool:
        return self.target - self.source >= STRANGE_SHARE


def missing_classes(priors: ClassPriors) -> NDArray[np.int64]:
    """Numbers of the classes that the source has and the target seems to lack."""
    largest = np.maximum(priors.high, priors.em)
    found: NDArray[np.int64] = np.flatnonzero((priors.source > 0) & (largest < MISSING_SHARE * priors.source))
    return found


def unknown_class_rate(network: CalibratedOutputs) -> UnknownClassRate:
    """How many rows lie far from every class's centre in the features and are not recognised."""
    evidence = network.evidence
    centres = class_centroids(evidence.source_features, evidence.source_labels, len(np.unique(evidence.source_labels)))
    source = source_distances(evidence.source_features, evidence.source_labels, centres)
    target = distances(evidence.target_features, centres).min(axis=1)
    far = np.quantile(source, 1 - STRANGE_QUANTILE)
    unsure = np.quantile(network.source.max(axis=1), STRANGE_QUANTILE)
    return UnknownClassRate(
        float(((target > far) & (network.target.max(axis=1) < unsure)).mean()),
        float(((source > far) & (network.source.max(axis=1) < unsure)).mean()),
    )


def source_distances(
    features: NDArray[np.float32], labels: NDArray[np.int64], centres: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Squared, of each normalised row (n, d) to the nearest of the centres (k, d) of the classes that occur.

    From its own class's, the mean of m rows, as if it were not one of them: m / (m - 1) times as far; a single row has none.
    """
    _, own, counts = np.unique(labels, return_inverse=True, return_counts=True)
    squared, rows, alone = distances(features, centres), np.arange(len(own)), counts[own] == 1
    squared[rows, own] *= np.square(counts / np.maximum(counts - 1, 1))[own]
    squared[rows[alone], own[alone]] = np.inf
    nearest: NDArray[np.float32] = squared.min(axis=1)
    return nearest


def distances(features: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared, of each normalised row (n, d) to each of the centres (k, d)."""
    rows = l2_normalize(features)
    squared: NDArray[np.float32] = np.square(rows).sum(axis=1)[:, None] - 2 * rows @ centres.T + np.square(centres).sum(axis=1)
    return squared
