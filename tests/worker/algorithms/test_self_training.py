from pathlib import Path

import torch

from tests.support.toy_problems import make_toy, toy_params
from worker.training.loop import train


def test_pictures_are_learned_in_their_strongly_changed_form_which_leaves_no_trace_in_the_statistics(tmp_path: Path) -> None:
    run = make_toy(tmp_path, toy_params("self_training", threshold=0.2), digits=True, classes=10).run
    algorithm = run.algorithm.train()
    batch = next(iter(run.batches.from_step(run.batches.steps // 2)))
    torch.manual_seed(0)
    _, target = algorithm.outputs(batch)  # type: ignore[operator]
    seen_once = algorithm.network.get_buffer("bottleneck.1.running_mean").clone()
    algorithm.adaptation(target, target, batch)  # type: ignore[operator]
    assert torch.equal(algorithm.network.get_buffer("bottleneck.1.running_mean"), seen_once)
    algorithm.outputs(batch)  # type: ignore[operator]
    assert not torch.equal(algorithm.network.get_buffer("bottleneck.1.running_mean"), seen_once)


def test_more_and_more_examples_teach(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("self_training", min_steps=100, epochs=1), digits=True)
    train(toy.run)
    shares = toy.series("confident_share")
    assert sum(shares[-10:]) > sum(shares[:10])
