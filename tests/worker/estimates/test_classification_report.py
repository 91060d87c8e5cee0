from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score, precision_score, recall_score

from worker.estimates.calibration import expected_calibration_error
from worker.estimates.classification_report import MAX_MATRIX_CLASSES, classification_report
from worker.estimates.confusion import Confusion
from worker.evaluation.outputs import LabelledPredictions

CLASSES = ["ant", "bee", "cat"]


def predictions(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and probabilities that are right on two rows of three."""
    random = np.random.default_rng(seed)
    labels = random.choice(3, rows, p=[0.6, 0.3, 0.1])
    scores = np.exp(1.5 * np.eye(3)[labels] + random.normal(size=(rows, 3)))
    return labels, scores / scores.sum(axis=1, keepdims=True)


def report(prefix: str, labels: np.ndarray, probabilities: np.ndarray, classes: list[str] = CLASSES) -> dict[str, Any]:
    found = LabelledPredictions(labels, probabilities.argmax(axis=1), probabilities.max(axis=1))
    return classification_report(prefix, found, Confusion.of(labels, found.predicted, len(classes)), classes)


def test_metrics_equal_those_of_scikit_learn() -> None:
    labels, probabilities = predictions(300)
    predicted, metrics = probabilities.argmax(axis=1), report("target", labels, probabilities)
    assert metrics["target_accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert metrics["target_balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert metrics["target_macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert metrics["target_calibration_error"] == pytest.approx(
        expected_calibration_error(probabilities.max(axis=1), predicted == labels)
    )
    assert metrics["target_confusion"] == confusion_matrix(labels, predicted).tolist()
    recall = recall_score(labels, predicted, average=None)
    precision = precision_score(labels, predicted, average=None)
    assert [one["recall"] for one in metrics["target_classes"].values()] == pytest.approx(list(recall))
    assert [one["precision"] for one in metrics["target_classes"].values()] == pytest.approx(list(precision))


def test_nine_of_ten_intervals_contain_the_truth() -> None:
    truth = report("target", *predictions(200_000, seed=99))["target_accuracy"]
    low, high = np.array([report("target", *predictions(150, seed))["target_intervals"]["accuracy"] for seed in range(120)]).T
    assert 0.82 <= ((low <= truth) & (truth <= high)).mean() <= 0.97


@pytest.mark.parametrize("wrong", [False, True])
def test_intervals_equal_those_of_resampled_rows(wrong: bool) -> None:
    labels, probabilities = predictions(200)
    labels = (labels + 1) % 3 if wrong else labels
    random = np.random.default_rng(5)
    drawn = []
    for _ in range(300):
        rows = random.integers(0, 200, 200)
        predicted, confidence = probabilities[rows].argmax(axis=1), probabilities[rows].max(axis=1)
        error = expected_calibration_error(confidence, predicted == labels[rows])
        drawn.append((f1_score(labels[rows], predicted, average="macro"), error))
    intervals = report("target", labels, probabilities)["target_intervals"]
    for name, values in zip(("macro_f1", "calibration_error"), np.transpose(drawn), strict=True):
        assert intervals[name] == pytest.approx(np.quantile(values, (0.05, 0.95)).tolist(), abs=0.015)


def test_class_without_examples_has_no_recall_and_is_ignored() -> None:
    labels, probabilities = np.array([0, 0, 1]), np.array([[0.9, 0.1, 0.0], [0.8, 0.1, 0.1], [0.2, 0.7, 0.1]])
    metrics = report("target", labels, probabilities)
    assert metrics["target_balanced_accuracy"] == metrics["target_macro_f1"] == 1
    assert metrics["target_classes"]["cat"] == {"examples": 0, "correct": 0, "recall": None, "precision": None}
    with pytest.raises(ValueError, match="no examples"):
        report("target", labels[:0], probabilities[:0])


def test_many_classes_have_the_largest_errors_in_place_of_a_matrix() -> None:
    names = [f"class-{number}" for number in range(MAX_MATRIX_CLASSES + 1)]
    labels = np.array([0, 0, 0, 5, 5, 7])
    predicted = np.array([9, 9, 0, 5, 6, 7])
    metrics = report("source", labels, np.eye(len(names))[predicted], names)
    assert "source_confusion" not in metrics
    assert metrics["source_largest_errors"] == [
        {"true": "class-0", "predicted": "class-9", "count": 2},
        {"true": "class-5", "predicted": "class-6", "count": 1},
    ]
    assert metrics["source_accuracy"] == 0.5
    assert metrics["source_classes"]["class-0"] == {"examples": 3, "correct": 1, "recall": 1 / 3, "precision": 1.0}


def test_interval_of_nine_correct_rows_has_a_width() -> None:
    labels = np.arange(9) % 3
    metrics = report("source", labels, np.eye(3)[labels])
    low, high = metrics["source_intervals"]["accuracy"]
    assert (metrics["source_accuracy"], high) == (1, 1)
    assert 0.6 < low < 0.9
