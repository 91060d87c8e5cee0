"""Requirements of every algorithm. A new algorithm is tested here without further code."""

import random
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from app.algorithms import PARAMS
from app.algorithms.base import AlgorithmParams
from tests.support.toy_problems import Toy, make_toy, table_network, toy_params, trained_weights
from worker import algorithms
from worker.protocol.progress import BadParameters, StopRequested
from worker.training.checkpoints import seed_everything
from worker.training.loop import TrainingRun, train

EVERY = pytest.mark.parametrize(
    "algorithm", [name for name, params in PARAMS.items() if not params.is_search and not params.plain_kind]
)
WITH_TARGET = pytest.mark.parametrize(
    "algorithm",
    [name for name, params in PARAMS.items() if params.needs_target and not params.is_search and not params.plain_kind],
)


@pytest.fixture(autouse=True)
def _few_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluate rarely, because validators would take most of the time."""
    monkeypatch.setattr("worker.training.loop.EVALUATIONS_PER_RUN", 4)


def make(folder: Path, params: AlgorithmParams, *, digits: bool = False, **options: Any) -> Toy:
    """Make a run on tables, or on images for algorithms that require norms."""
    return make_toy(folder, params, digits=digits or requires_norms(params.algorithm), **options)


@cache
def requires_norms(algorithm: str) -> bool:
    try:
        algorithms.build(toy_params(algorithm), table_network(2), 2)
    except BadParameters:
        return True
    return False


def trained(folder: Path, algorithm: str) -> TrainingRun:
    """Make a run with a network trained on the source, so that pseudo-labels are confident."""
    run = make(folder, toy_params(algorithm)).run
    run.algorithm.network.load_state_dict(trained_weights(2, requires_norms(algorithm)))
    return run


@EVERY
def test_algorithm_learns_the_source(algorithm: str, tmp_path: Path) -> None:
    toy = make(tmp_path, toy_params(algorithm))
    train(toy.run)
    assert toy.run.step == toy.run.batches.steps
    assert toy.run.selector.accuracy > 0.8
    assert toy.series("source_accuracy")[-1] > 0.8


@WITH_TARGET
def test_algorithm_beats_source_only_on_the_target(algorithm: str) -> None:
    minimum = algorithms.implementation(algorithm).toy_target_accuracy
    assert target_accuracy(algorithm) > max(minimum, target_accuracy("source_only") + 0.1)


@cache
def target_accuracy(algorithm: str) -> float:
    with TemporaryDirectory() as folder:
        toy = make_toy(Path(folder), toy_params(algorithm, min_steps=120, epochs=1), classes=10, digits=True)
        train(toy.run)
    return toy.target_accuracy()


@EVERY
@pytest.mark.parametrize("sizes", [(600, 40), (40, 600), (20, 20)])
def test_datasets_of_different_or_small_sizes_are_trained(algorithm: str, sizes: tuple[int, int], tmp_path: Path) -> None:
    toy = make(tmp_path, toy_params(algorithm, epochs=1, batch_size=64), sizes=sizes)
    assert toy.run.batches.steps == toy.run.batches.steps_per_epoch
    train(toy.run)
    assert toy.run.step == toy.run.batches.steps


@EVERY
def test_every_term_and_every_trained_weight_has_a_gradient(algorithm: str, tmp_path: Path) -> None:
    run = trained(tmp_path, algorithm)
    batch = next(iter(run.batches.from_step(run.batches.steps // 2)))
    weights = [weight for group in run.optimizer.param_groups for weight in group["params"]]
    reached: set[int] = set()
    for name, term in run.algorithm.terms(batch).items():
        gradients = torch.autograd.grad(term, weights, allow_unused=True, retain_graph=True)
        with_gradient = {number for number, gradient in enumerate(gradients) if gradient is not None and gradient.any()}
        assert with_gradient, name
        reached |= with_gradient
    assert reached == set(range(len(weights)))


@EVERY
def test_features_decrease_terms_and_increase_adversarial_terms(algorithm: str, tmp_path: Path) -> None:
    run = trained(tmp_path, algorithm)
    network, batch = run.algorithm.eval().network, next(iter(run.batches.from_step(run.batches.steps // 2)))
    weights = [weight for part in (network.backbone, network.bottleneck) for weight in part.parameters() if weight.requires_grad]

    def term(name: str) -> Tensor:
        seed_everything(0)
        return run.algorithm.terms(batch)[name]

    followed = set()
    for name in run.algorithm.terms(batch):
        before = term(name)
        gradients = torch.autograd.grad(before, weights, allow_unused=True, materialize_grads=True)
        length = torch.stack([gradient.norm() for gradient in gradients]).norm()
        if length == 0:
            continue  # a term of the discriminator only
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.sub_(gradient, alpha=1e-2 / float(length))
        after = term(name)
        assert after > before if name in run.algorithm.adversarial_terms else after <= before, name
        followed.add(name)
    assert followed - {"classification"} or not run.params.needs_target


@EVERY
@pytest.mark.parametrize(("stop_at", "digits"), [(1, False), (38, True)])
def test_resumed_run_ends_with_identical_weights(algorithm: str, stop_at: int, digits: bool, tmp_path: Path) -> None:
    params = toy_params(algorithm, epochs=1, min_steps=42)
    whole = make(tmp_path / "whole", params, digits=digits, sizes=(500, 300))
    train(whole.run)

    first = make(tmp_path / "parts", params, digits=digits, sizes=(500, 300), stop_at=stop_at)
    with pytest.raises(StopRequested):
        train(first.run)
    assert first.run.step == stop_at
    assert first.checkpoint == f"jobs/a/1/checkpoint-{stop_at}.pt"

    second = make(tmp_path / "parts", params, digits=digits, sizes=(500, 300))
    scramble()
    second.resume(first.checkpoint)
    train(second.run)
    assert_same(second.run.algorithm.state_dict(), whole.run.algorithm.state_dict())
    assert second.run.selector.step == whole.run.selector.step


@EVERY
def test_equal_seeds_give_identical_weights_others_do_not(algorithm: str, tmp_path: Path) -> None:
    states = []
    for seed in (3, 3, 4):
        run = make(tmp_path, toy_params(algorithm, epochs=1, seed=seed)).run
        train(run)
        states.append(run.algorithm.state_dict())
    assert_same(states[0], states[1])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])


def scramble() -> None:
    """Change all random states, as in another process."""
    seed_everything(99)
    random.random()
    np.random.rand(3)
    torch.rand(3)


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
