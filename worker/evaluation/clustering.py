"""Clusters of features, without labels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from worker.evaluation.outputs import Float32Array

KMEANS_STARTS = 3


def l2_normalize(features: Float32Array) -> Float32Array:
    """Return rows (n, d) of length one; rows of zeros do not change."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    rows: Float32Array = (features / np.where(length > 0, length, 1)).astype(np.float32)
    return rows


def clusters(features: Float32Array, count: int, centroids: Float32Array | None = None) -> NDArray[np.int64]:
    """Return k-means cluster indices (n,) of the normalised rows (n, d). The seed is fixed.

    K-means starts from `centroids` (count, d) if given. There are at most as many clusters as distinct rows.
    """
    rows = l2_normalize(features)
    count = min(count, len(np.unique(rows, axis=0)))
    start: dict[str, Any] = {"n_init": KMEANS_STARTS} if centroids is None else {"n_init": 1, "init": centroids[:count]}
    indices: NDArray[np.int64] = KMeans(count, random_state=0, **start).fit_predict(rows).astype(np.int64)
    return indices


def class_centroids(features: Float32Array, predicted: NDArray[np.int64], classes: int) -> Float32Array:
    """Return the means (classes, d) of the normalised rows of each predicted class; classes that occur come first.

    The centroid of a class that is never predicted is the row furthest from all centroids so far.
    """
    rows = l2_normalize(features)
    centroids = [rows[predicted == number].mean(axis=0) for number in np.unique(predicted)]
    if len(centroids) >= min(classes, len(rows)):
        return np.stack(centroids)
    nearest = np.min([np.square(rows - centroid).sum(axis=1) for centroid in centroids], axis=0)
    while len(centroids) < min(classes, len(rows)):
        centroids.append(rows[nearest.argmax()])
        nearest = np.minimum(nearest, np.square(rows - centroids[-1]).sum(axis=1))
    return np.stack(centroids)
