from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from tests.support.toy_problems import image_network, make_toy, table_network, toy_images, toy_params
from worker import algorithms
from worker.networks.base import DomainBatchNorm
from worker.protocol.progress import BadParameters
from worker.training.loop import train


def test_adabn_changes_only_running_statistics(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("adabn", min_steps=60), digits=True, classes=10)
    before = {name: value.clone() for name, value in toy.run.algorithm.network.state_dict().items()}
    train(toy.run)
    after = toy.run.algorithm.network.state_dict()
    changed = {name.rpartition(".")[2] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"running_mean", "running_var"}


def test_adabn_statistics_equal_those_of_the_target(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("adabn", min_steps=60), digits=True, classes=10)
    train(toy.run)
    network = toy.run.algorithm.eval().network
    norm = network.get_submodule("bottleneck.1")
    assert isinstance(norm, DomainBatchNorm)
    with torch.no_grad():
        units = network.get_submodule("bottleneck.0")(network.backbone(toy.target.inputs))
    assert F.cosine_similarity(norm.running_mean, units.mean(0), dim=0) > 0.99
    assert (norm.running_var / units.var(0)).log().abs().mean() < 0.2


@pytest.mark.parametrize("algorithm", ["adabn", "tent"])
def test_network_without_norms_is_rejected(algorithm: str) -> None:
    with pytest.raises(BadParameters, match="this network has no"):
        algorithms.build(toy_params(algorithm), table_network(3), 3)


def test_adabn_disables_dropout() -> None:
    algorithm = algorithms.build(toy_params("adabn"), image_network(10), 10).train()
    inputs = toy_images(8, 10, target=True).inputs
    assert torch.equal(algorithm.compute_outputs(inputs).features, algorithm.compute_outputs(inputs).features)
