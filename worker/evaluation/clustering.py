"""Groups that features form by themselves, without labels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from worker.evaluation.outputs import Float32Array

KMEANS_STARTS = 3


def l2_normalize(features: Float32Array) -> Float32Array:
    """Rows (n, d) of length one; a row of zeros stays what it is."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    rows: Float32Array = (features / np.where(length > 0, length, 1)).astype(np.float32)
    return rows


def clusters(features: Float32Array, count: int, centres: Float32Array | None = None) -> NDArray[np.int64]:
    """Cluster numbers (n,) of the normalised rows (n, d) by k-means, from the same seed each time.

    Starts once from `centres` (count, d) when they are given. Fewer clusters where there are fewer different rows.
    """
    rows = l2_normalize(features)
    count = min(count, len(np.unique(rows, axis=0)))
    start: dict[str, Any] = {"n_init": KMEANS_STARTS} if centres is None else {"n_init": 1, "init": centres[:count]}
    numbers: NDArray[np.int64] = KMeans(count, random_state=0, **start).fit_predict(rows).astype(np.int64)
    return numbers


def class_centroids(features: Float32Array, predicted: NDArray[np.int64], classes: int) -> Float32Array:
    """Means (classes, d) of the normalised rows predicted as each class, those that occur first.

    For a class that is never predicted: the row furthest from the centres so far.
    """
    rows = l2_normalize(features)
    centres = [rows[predicted == number].mean(axis=0) for number in np.unique(predicted)]
    nearest = np.min([np.square(rows - centre).sum(axis=1) for centre in centres], axis=0)
    while len(centres) < min(classes, len(rows)):
        centres.append(rows[nearest.argmax()])
        nearest = np.minimum(nearest, np.square(rows - centres[-1]).sum(axis=1))
    return np.stack(centres)
