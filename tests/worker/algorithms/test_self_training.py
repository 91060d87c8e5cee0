from pathlib import Path

import torch

from tests.support.toy_problems import make_toy, toy_params
from worker.training.loop import train


def test_strongly_augmented_images_do_not_change_batch_statistics(tmp_path: Path) -> None:
    run = make_toy(tmp_path, toy_params("self_training", threshold=0.2), digits=True, classes=10).run
    algorithm = run.algorithm.train()
    batch = next(iter(run.batches.from_step(run.batches.steps // 2)))
    torch.manual_seed(0)
    _, target = algorithm.outputs(batch)  # type: ignore[operator]
    updated_once = algorithm.network.get_buffer("bottleneck.1.running_mean").clone()
    algorithm.adaptation(target, target, batch)  # type: ignore[operator]
    assert torch.equal(algorithm.network.get_buffer("bottleneck.1.running_mean"), updated_once)
    algorithm.outputs(batch)  # type: ignore[operator]
    assert not torch.equal(algorithm.network.get_buffer("bottleneck.1.running_mean"), updated_once)


def test_fraction_of_confident_examples_grows(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("self_training", min_steps=100, epochs=1), digits=True)
    train(toy.run)
    fractions = toy.series("confident_share")
    assert sum(fractions[-10:]) > sum(fractions[:10])
