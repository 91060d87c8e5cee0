from pathlib import Path

import torch

from tests.support.toy_problems import make_toy, toy_params
from worker.training.loop import train


def test_the_sources_encoder_and_the_head_stay_as_they_were_trained(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("adda", min_steps=40), digits=True, classes=10)
    trained = {name: value.clone() for name, value in toy.run.algorithm.named_parameters()}
    train(toy.run)
    changed = {name for name, value in toy.run.algorithm.named_parameters() if not torch.equal(trained[name], value)}
    assert {name.rpartition(".")[0].split(".layers")[0] for name in changed if not name.startswith("network.")} == {
        "discriminator"
    }
    assert {name.split(".")[1] for name in changed if name.startswith("network.")} == {"backbone", "bottleneck"}


def test_the_discriminator_learns_from_one_term_and_the_encoder_from_the_other(tmp_path: Path) -> None:
    run = make_toy(tmp_path, toy_params("adda"), digits=True).run
    terms = run.algorithm.terms(next(iter(run.batches.from_step(0))))
    opponent = list(run.algorithm.get_submodule("discriminator").parameters())
    encoder = list(run.algorithm.network.bottleneck.parameters())
    for name, mine, others in (("domain", opponent, encoder), ("confusion", encoder, opponent)):
        assert all(
            gradient is not None for gradient in torch.autograd.grad(terms[name], mine, retain_graph=True, allow_unused=True)
        )
        assert torch.autograd.grad(terms[name], others, retain_graph=True, allow_unused=True) == (None,) * len(others)
