from pathlib import Path

import torch

from tests.support.toy_problems import make_toy, toy_params
from worker.training.loop import train


def test_adda_keeps_the_source_encoder_and_the_head(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("adda", min_steps=40), digits=True, classes=10)
    trained = {name: value.clone() for name, value in toy.run.algorithm.named_parameters()}
    train(toy.run)
    changed = {name for name, value in toy.run.algorithm.named_parameters() if not torch.equal(trained[name], value)}
    assert {name.rpartition(".")[0].split(".layers")[0] for name in changed if not name.startswith("network.")} == {
        "discriminator"
    }
    assert {name.split(".")[1] for name in changed if name.startswith("network.")} == {"backbone", "bottleneck"}


def test_adda_terms_train_either_discriminator_or_encoder(tmp_path: Path) -> None:
    run = make_toy(tmp_path, toy_params("adda"), digits=True).run
    terms = run.algorithm.terms(next(iter(run.batches.from_step(0))))
    discriminator = list(run.algorithm.get_submodule("discriminator").parameters())
    encoder = list(run.algorithm.network.bottleneck.parameters())
    for name, trained, others in (("domain", discriminator, encoder), ("confusion", encoder, discriminator)):
        assert all(
            gradient is not None for gradient in torch.autograd.grad(terms[name], trained, retain_graph=True, allow_unused=True)
        )
        assert torch.autograd.grad(terms[name], others, retain_graph=True, allow_unused=True) == (None,) * len(others)
