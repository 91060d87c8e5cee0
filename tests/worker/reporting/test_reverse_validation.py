"""A pupil of labels that are right, and of labels that are wrong."""

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


def answered(toy: Toy, target: np.ndarray) -> ModelOutputs:
    """As of a network that says these classes of the target."""
    found = toy.run.evaluator.outputs(toy.run.algorithm.network)
    return replace(found, target_logits=np.eye(2, dtype=np.float32)[target])


def true_classes(toy: Toy) -> np.ndarray:
    labels, rows = toy.target.labels, toy.run.evaluator._target_rows
    assert labels is not None
    classes: np.ndarray = labels[rows].numpy()
    return classes


def test_right_labels_teach_what_holds_on_the_source_and_on_unseen_rows(toy: Toy) -> None:
    found = reverse_validate(lambda: table_network(2), toy.run.evaluator, answered(toy, true_classes(toy)))
    assert found is not None
    assert found.confidence > 0.9
    assert found.accuracy > 0.8


def test_labels_that_depend_on_nothing_are_not_learned(toy: Toy) -> None:
    random = np.random.default_rng(0).integers(0, 2, len(true_classes(toy)))
    found = reverse_validate(lambda: table_network(2), toy.run.evaluator, answered(toy, random))
    assert found is not None
    assert found.confidence < 0.7


def test_exchanged_labels_are_learned_and_contradicted_by_the_source(toy: Toy) -> None:
    found = reverse_validate(lambda: table_network(2), toy.run.evaluator, answered(toy, 1 - true_classes(toy)))
    assert found is not None
    assert found.confidence > 0.9
    assert found.accuracy < 0.2


def test_a_pupil_of_one_row_of_each_class_says_nothing(toy: Toy) -> None:
    given = toy.run.evaluator.outputs(toy.run.algorithm.network)
    every = replace(given, target_logits=np.eye(len(given.target_logits), dtype=np.float32))
    assert reverse_validate(lambda: table_network(2), toy.run.evaluator, every) is None


def test_what_one_class_teaches_is_known(toy: Toy) -> None:
    found = reverse_validate(lambda: table_network(2), toy.run.evaluator, answered(toy, 0 * true_classes(toy)))
    assert found is not None
    assert found.confidence == 1
    assert found.accuracy == pytest.approx(0.5, abs=0.1)


def test_the_source_leaves_no_trace_in_the_statistics_of_the_target(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("mcc"), digits=True)
    pupil, examiner = toy.run.algorithm.network, toy.run.evaluator
    before = {name: value.clone() for name, value in pupil.state_dict().items()}
    source_accuracy(pupil, examiner, torch.zeros(len(examiner._source_rows), dtype=torch.int64))
    assert all(torch.equal(value, before[name]) for name, value in pupil.state_dict().items())


def test_who_is_asked_to_stop_stops(toy: Toy) -> None:
    with pytest.raises(StopRequested):
        reverse_validate(lambda: table_network(2), toy.run.evaluator, answered(toy, true_classes(toy)), lambda: True)


def test_the_randomness_of_others_is_left_alone(toy: Toy) -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first = reverse_validate(lambda: table_network(2), toy.run.evaluator, answered(toy, true_classes(toy)))
    assert torch.rand(1) == expected
    assert first == reverse_validate(lambda: table_network(2), toy.run.evaluator, answered(toy, true_classes(toy)))
