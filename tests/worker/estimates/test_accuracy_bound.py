import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from worker.estimates.accuracy_bound import accuracy_lower_bound, agreement_loss, disagreement_loss, sampling_error
from worker.evaluation.outputs import ModelOutputs


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Use one thread: on a busy machine, waiting threads take longer than the work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def outputs_with_truth(rows: int = 1200, *, shift: float = 0.0, seed: int = 0) -> tuple[ModelOutputs, float]:
    """Return outputs whose target is moved by `shift` in a random direction, and the true target accuracy."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, rows)
    direction = random.normal(size=4)
    direction /= np.linalg.norm(direction)
    source = 5 * np.eye(4)[labels] + random.normal(size=(rows, 4))
    target = 5 * np.eye(4)[labels] + random.normal(size=(rows, 4)) + shift * direction
    given = ModelOutputs(
        *(source.astype(np.float32), source.astype(np.float32), labels, target.astype(np.float32), target.astype(np.float32))
    )
    return given, float((target.argmax(axis=1) == labels).mean())


def test_losses_equal_the_formulas_of_the_paper() -> None:
    logits = np.random.default_rng(0).normal(size=(6, 2, 3))
    predicted = np.array([0, 1, 2, 0, 1, 2])
    agree, disagree = [], []
    for row, label in zip(logits, predicted, strict=True):
        for critic in row:
            agree.append(math.log(np.exp(critic).sum()) - critic[label])
            disagree.append(math.log1p(math.exp(critic[label] - np.delete(critic, label).mean())))
    tensors = torch.from_numpy(logits), torch.from_numpy(predicted)
    assert float(agreement_loss(*tensors)) == pytest.approx(np.mean(agree) / math.log(3))
    assert float(disagreement_loss(*tensors)) == pytest.approx(np.mean(disagree) / math.log(2))


def test_sampling_error_is_exceeded_with_probability_delta_at_most() -> None:
    """The worst case of the inequality: source rows of +1 and -1, target rows of 0 and 1."""
    random = np.random.default_rng(0)
    sums = random.choice([-1, 1], (20000, 40)).mean(axis=1) + random.choice([0, 1], (20000, 60)).mean(axis=1) - 0.5
    assert (sums > sampling_error(40, 60, 0.1)).mean() < 0.1
    assert (sums > 0.5 * sampling_error(40, 60, 0.1)).mean() > 0.1


def test_bound_without_shift_loses_only_the_sampling_error() -> None:
    given, truth = outputs_with_truth()
    bound = accuracy_lower_bound(given)
    assert bound is not None
    assert bound.discrepancy < 0.03
    assert truth - bound.sampling - 0.05 < bound.accuracy <= truth
    assert bound.confidence == pytest.approx(0.95)


@pytest.mark.parametrize("seed", range(4))
def test_bound_falls_with_the_shift_and_stays_below_the_truth(seed: int) -> None:
    bounds, truth = [], []
    for shift in (0.0, 3.0, 8.0):
        given, accuracy = outputs_with_truth(shift=shift, seed=seed)
        bound = accuracy_lower_bound(given)
        assert bound is not None
        bounds.append(bound.accuracy)
        truth.append(accuracy)
    assert all(low <= accuracy for low, accuracy in zip(bounds, truth, strict=True))
    assert bounds[0] > bounds[1] > bounds[2]


def test_bound_is_deterministic_and_keeps_the_global_generator() -> None:
    given, _ = outputs_with_truth(rows=100, shift=2)
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    assert accuracy_lower_bound(given) == accuracy_lower_bound(given)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_fewer_than_four_rows_give_no_bound() -> None:
    assert accuracy_lower_bound(outputs_with_truth(rows=3)[0]) is None


def test_many_classes_reduce_the_number_of_critics(monkeypatch: pytest.MonkeyPatch) -> None:
    given, _ = outputs_with_truth(shift=2)
    several = accuracy_lower_bound(given)
    monkeypatch.setattr("worker.estimates.accuracy_bound.MAX_CRITIC_OUTPUTS", 1)
    one = accuracy_lower_bound(given)
    monkeypatch.undo()
    monkeypatch.setattr("worker.estimates.accuracy_bound.RESTARTS", 1)
    assert one == accuracy_lower_bound(given) != several
