import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score, precision_score, recall_score

from worker.estimates.calibration import expected_calibration_error
from worker.estimates.classification_report import classification_report

CLASSES = ["ant", "bee", "cat"]


def predictions(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and probabilities that are right on two rows of three."""
    random = np.random.default_rng(seed)
    labels = random.choice(3, rows, p=[0.6, 0.3, 0.1])
    scores = np.exp(1.5 * np.eye(3)[labels] + random.normal(size=(rows, 3)))
    return labels, scores / scores.sum(axis=1, keepdims=True)


def test_metrics_equal_those_of_scikit_learn() -> None:
    labels, probabilities = predictions(300)
    predicted, metrics = probabilities.argmax(axis=1), classification_report("target", *predictions(300), CLASSES)
    assert metrics["target_accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert metrics["target_balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert metrics["target_macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert metrics["target_calibration_error"] == pytest.approx(expected_calibration_error(probabilities, labels))
    assert metrics["target_confusion"] == confusion_matrix(labels, predicted).tolist()
    recall = recall_score(labels, predicted, average=None)
    precision = precision_score(labels, predicted, average=None)
    assert [one["recall"] for one in metrics["target_classes"].values()] == pytest.approx(list(recall))
    assert [one["precision"] for one in metrics["target_classes"].values()] == pytest.approx(list(precision))


def test_nine_of_ten_intervals_contain_the_truth() -> None:
    truth = classification_report("target", *predictions(200_000, seed=99), CLASSES)["target_accuracy"]
    low, high = np.array(
        [classification_report("target", *predictions(150, seed), CLASSES)["target_intervals"]["accuracy"] for seed in range(120)]
    ).T
    assert 0.82 <= ((low <= truth) & (truth <= high)).mean() <= 0.97


@pytest.mark.parametrize("wrong", [False, True])
def test_intervals_equal_those_of_resampled_rows(wrong: bool) -> None:
    labels, probabilities = predictions(200)
    labels = (labels + 1) % 3 if wrong else labels
    random = np.random.default_rng(5)
    drawn = []
    for _ in range(300):
        rows = random.integers(0, 200, 200)
        metrics = f1_score(labels[rows], probabilities[rows].argmax(axis=1), average="macro")
        drawn.append((metrics, expected_calibration_error(probabilities[rows], labels[rows])))
    intervals = classification_report("target", labels, probabilities, CLASSES)["target_intervals"]
    for name, values in zip(("macro_f1", "calibration_error"), np.transpose(drawn), strict=True):
        assert intervals[name] == pytest.approx(np.quantile(values, (0.05, 0.95)).tolist(), abs=0.015)


def test_class_without_examples_has_no_recall_and_is_ignored() -> None:
    labels, probabilities = np.array([0, 0, 1]), np.array([[0.9, 0.1, 0.0], [0.8, 0.1, 0.1], [0.2, 0.7, 0.1]])
    metrics = classification_report("target", labels, probabilities, CLASSES)
    assert metrics["target_balanced_accuracy"] == metrics["target_macro_f1"] == 1
    assert metrics["target_classes"]["cat"] == {"examples": 0, "correct": 0, "recall": None, "precision": None}
    with pytest.raises(ValueError, match="no examples"):
        classification_report("target", labels[:0], probabilities[:0], CLASSES)


def test_interval_of_nine_correct_rows_has_a_width() -> None:
    labels = np.arange(9) % 3
    metrics = classification_report("source", labels, np.eye(3)[labels], CLASSES)
    low, high = metrics["source_intervals"]["accuracy"]
    assert (metrics["source_accuracy"], high) == (1, 1)
    assert 0.6 < low < 0.9
