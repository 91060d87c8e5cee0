import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from worker.evaluation.clustering import class_centroids, clusters, l2_normalize


def groups(rows: int = 60, classes: int = 3, *, noise: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = np.arange(rows) % classes
    return (np.eye(classes, 5)[labels] + noise * random.normal(size=(rows, 5))).astype(np.float32), labels


def test_separate_groups_are_found_regardless_of_their_norm() -> None:
    features, labels = groups()
    stretched = features * np.random.default_rng(1).uniform(0.1, 10, size=(60, 1)).astype(np.float32)
    assert adjusted_rand_score(labels, clusters(stretched, 3)) == pytest.approx(1)


def test_zero_and_equal_rows_are_valid() -> None:
    assert np.array_equal(l2_normalize(np.zeros((2, 3), np.float32)), np.zeros((2, 3)))
    assert set(clusters(np.ones((9, 3), np.float32), 4)) == {0}


def test_centroids_are_class_means_then_the_furthest_rows() -> None:
    features, labels = groups(noise=0.05)
    predicted = np.where(labels == 2, 0, labels)
    centroids = class_centroids(features, predicted, 3)
    rows = l2_normalize(features)
    np.testing.assert_allclose(centroids[1], rows[labels == 1].mean(axis=0), rtol=1e-5)
    assert centroids.shape == (3, 5)
    distance = [min(np.square(row - centroid).sum() for centroid in centroids[:2]) for row in rows]
    np.testing.assert_array_equal(centroids[2], rows[int(np.argmax(distance))])
