from pathlib import Path

import pytest
import torch

from app.algorithms.fine_tune import FineTuneParams
from tests.support.toy_problems import image_network, make_toy, toy_images, toy_params
from worker.algorithms.fine_tune import FineTune
from worker.data.batch import Batch
from worker.training.loop import train


def trained_blocks(algorithm: FineTune, progress: float) -> list[bool]:
    examples = toy_images(8, 10, target=False)
    assert examples.labels is not None
    algorithm.terms(Batch(examples.inputs, examples.labels, {}, progress))
    return [all(weight.requires_grad for weight in block.parameters()) for block in algorithm.network.blocks()]


def test_gradual_unfreezing_reaches_the_input_in_half_the_run() -> None:
    algorithm = FineTune(image_network(10), FineTuneParams(unfreeze="gradual"), 10)
    progress = (0, 0.13, 0.26, 0.39, 0.9)
    counts = [sum(trained_blocks(algorithm, at)) for at in progress]
    assert counts == [1, 2, 3, 4, 4]
    assert trained_blocks(algorithm, 0) == [False, False, False, True]


@pytest.mark.parametrize("unfreeze", ["head", "all"])
def test_frozen_blocks_keep_weights_and_statistics(unfreeze: str, tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("fine_tune", unfreeze=unfreeze, epochs=1), digits=True)
    before = {name: value.clone() for name, value in toy.run.algorithm.network.state_dict().items()}
    train(toy.run)
    after = toy.run.algorithm.network.state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == ({"head"} if unfreeze == "head" else {"backbone", "bottleneck", "head"})


def test_gradual_unfreezing_learns_the_source(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("fine_tune", unfreeze="gradual", epochs=20), digits=True)
    train(toy.run)
    assert toy.run.selector.accuracy > 0.9


def test_backbone_lr_factor_applies_to_a_pretrained_backbone(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("fine_tune", backbone_lr_factor=0.0, epochs=1))
    toy.run.algorithm.network.pretrained = True
    before = {name: value.clone() for name, value in toy.run.algorithm.network.state_dict().items()}
    toy.run.__post_init__()
    train(toy.run)
    after = toy.run.algorithm.network.state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"head"}
