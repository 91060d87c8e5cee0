"""Students of correct and of wrong pseudo-labels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.toy_problems import Toy, make_toy, table_network, toy_params
from worker.evaluation.outputs import ModelOutputs
from worker.protocol.progress import StopRequested
from worker.reporting.reverse_validation import reverse_validate, source_accuracy


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return make_toy(tmp_path, toy_params("mcc"))


def outputs_predicting(toy: Toy, target: np.ndarray) -> ModelOutputs:
    """Return the outputs of a network that predicts these target classes."""
    result = toy.run.evaluator.outputs(toy.run.algorithm.network)
    return replace(result, target_logits=np.eye(2, dtype=np.float32)[target])


def true_classes(toy: Toy) -> np.ndarray:
    labels, rows = toy.target.labels, toy.run.evaluator._target_rows  # noqa: SLF001  # the sample is random
    assert labels is not None
    classes: np.ndarray = labels[rows].numpy()
    return classes


def test_student_of_correct_labels_is_accurate_on_the_source(toy: Toy) -> None:
    result = reverse_validate(lambda: table_network(2), toy.run.evaluator, outputs_predicting(toy, true_classes(toy)))
    assert result is not None
    assert result.confidence > 0.9
    assert result.accuracy > 0.8


def test_student_does_not_learn_random_labels(toy: Toy) -> None:
    random = np.random.default_rng(0).integers(0, 2, len(true_classes(toy)))
    result = reverse_validate(lambda: table_network(2), toy.run.evaluator, outputs_predicting(toy, random))
    assert result is not None
    assert result.confidence < 0.7


def test_student_of_swapped_labels_fails_on_the_source(toy: Toy) -> None:
    result = reverse_validate(lambda: table_network(2), toy.run.evaluator, outputs_predicting(toy, 1 - true_classes(toy)))
    assert result is not None
    assert result.confidence > 0.9
    assert result.accuracy < 0.2


def test_one_row_of_each_class_gives_no_result(toy: Toy) -> None:
    given = toy.run.evaluator.outputs(toy.run.algorithm.network)
    every = replace(given, target_logits=np.eye(len(given.target_logits), dtype=np.float32))
    assert reverse_validate(lambda: table_network(2), toy.run.evaluator, every) is None


def test_single_predicted_class_needs_no_student(toy: Toy) -> None:
    result = reverse_validate(lambda: table_network(2), toy.run.evaluator, outputs_predicting(toy, 0 * true_classes(toy)))
    assert result is not None
    assert result.confidence == 1
    assert result.accuracy == pytest.approx(0.5, abs=0.1)


def test_source_accuracy_does_not_change_batch_statistics(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("mcc"), digits=True)
    student, evaluator = toy.run.algorithm.network, toy.run.evaluator
    before = {name: value.clone() for name, value in student.state_dict().items()}
    rows = len(evaluator._source_rows)  # noqa: SLF001  # the sample's size is not public
    source_accuracy(student, evaluator, torch.zeros(rows, dtype=torch.int64))
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


def test_stop_request_ends_reverse_validation(toy: Toy) -> None:
    with pytest.raises(StopRequested):
        reverse_validate(lambda: table_network(2), toy.run.evaluator, outputs_predicting(toy, true_classes(toy)), lambda: True)


def test_global_random_state_is_kept(toy: Toy) -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first = reverse_validate(lambda: table_network(2), toy.run.evaluator, outputs_predicting(toy, true_classes(toy)))
    assert torch.rand(1) == expected
    assert first == reverse_validate(lambda: table_network(2), toy.run.evaluator, outputs_predicting(toy, true_classes(toy)))
