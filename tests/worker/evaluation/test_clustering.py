import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from worker.evaluation.clustering import class_centroids, clusters, l2_normalize


def groups(rows: int = 60, classes: int = 3, *, noise: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = np.arange(rows) % classes
    return (np.eye(classes, 5)[labels] + noise * random.normal(size=(rows, 5))).astype(np.float32), labels


def test_groups_that_lie_apart_are_found_whatever_their_length() -> None:
    features, labels = groups()
    stretched = features * np.random.default_rng(1).uniform(0.1, 10, size=(60, 1)).astype(np.float32)
    assert adjusted_rand_score(labels, clusters(stretched, 3)) == pytest.approx(1)


def test_rows_of_zeros_and_equal_rows_are_no_error() -> None:
    assert np.array_equal(l2_normalize(np.zeros((2, 3), np.float32)), np.zeros((2, 3)))
    assert set(clusters(np.ones((9, 3), np.float32), 4)) == {0}


def test_centres_are_means_of_the_classes_and_then_the_rows_furthest_away() -> None:
    features, labels = groups(noise=0.05)
    predicted = np.where(labels == 2, 0, labels)
    centres = class_centroids(features, predicted, 3)
    rows = l2_normalize(features)
    np.testing.assert_allclose(centres[1], rows[labels == 1].mean(axis=0), rtol=1e-5)
    assert centres.shape == (3, 5)
    distance = [min(np.square(row - centre).sum() for centre in centres[:2]) for row in rows]
    np.testing.assert_array_equal(centres[2], rows[int(np.argmax(distance))])
