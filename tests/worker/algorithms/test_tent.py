from pathlib import Path

import torch

from tests.support.toy_problems import make_toy, toy_params
from worker.networks.base import DomainBatchNorm
from worker.training.loop import train


def test_tent_changes_only_norms(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("tent", min_steps=40), digits=True, classes=10)
    network = toy.run.algorithm.network
    norms = tuple(name for name, module in network.named_modules() if isinstance(module, DomainBatchNorm))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    train(toy.run)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(before[name], value)}
    assert changed == {f"{norm}.{part}" for norm in norms for part in ("weight", "bias", "running_mean", "running_var")}


def test_tent_uses_the_full_rate_for_a_pretrained_encoder(tmp_path: Path) -> None:
    algorithm = make_toy(tmp_path, toy_params("tent"), digits=True).run.algorithm
    algorithm.network.pretrained = True
    assert [group["factor"] for group in algorithm.parameter_groups()] == [1.0]
