import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from app.algorithms.dann import DannParams
from app.modalities.text import TextPreprocessing
from app.networks.mlp import MlpParams
from tests.support.toy_problems import image_network, make_toy, toy_images, toy_params
from worker import networks
from worker.algorithms.dann import Dann
from worker.components.adversarial import Discriminator, reverse_gradient
from worker.data.batch import Batch
from worker.losses.domains import domain_bce
from worker.networks.base import DomainBatchNorm
from worker.training.loop import train


def domain_gradient(strength: float) -> torch.Tensor:
    """Return the gradient of features (12, 5) through the reversal and the default discriminator."""
    torch.manual_seed(0)
    features = torch.randn(12, 5, requires_grad=True)
    logits = Discriminator(5, DannParams().discriminator_width, 0)(reverse_gradient(features, strength))
    domain_bce(logits[:6], logits[6:]).backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    return features.grad


def test_feature_gradient_is_reversed_and_not_zero() -> None:
    straight = domain_gradient(-1)  # strength -1 cancels the reversal
    assert (straight.abs().sum(1) > 0).all()
    assert torch.allclose(domain_gradient(0.25), -0.25 * straight)
    assert not domain_gradient(0).any()


def test_lambda_scales_only_the_gradient_of_the_features() -> None:
    def gradients(lambda_max: float) -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(0)
        algorithm = Dann(image_network(10), DannParams(lambda_max=lambda_max, batch_norm="shared"), 10).eval()
        source, target = toy_images(8, 10, target=False), toy_images(8, 10, target=True)
        assert source.labels is not None
        term = algorithm.terms(Batch(source.inputs, source.labels, target.inputs, 0.3))["domain"]
        features = algorithm.network.get_parameter("bottleneck.0.weight")
        discriminator = algorithm.adversary.get_parameter("discriminator.layers.0.weight")
        return torch.autograd.grad(term, [features, discriminator])  # type: ignore[return-value]

    weak, strong = gradients(0.1), gradients(1.0)
    assert torch.allclose(10 * weak[0], strong[0], rtol=1e-4, atol=1e-9)
    assert torch.equal(weak[1], strong[1])
    assert strong[1].any()


def test_discriminator_separates_the_domains_without_reversal(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("dann", lambda_max=0.0, batch_norm="shared", min_steps=200), digits=True)
    train(toy.run)
    accuracy = toy.series("domain_accuracy")
    assert accuracy[0] < 0.9 < 0.95 < accuracy[-1]


def test_reversal_lowers_the_domain_accuracy(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("dann", lambda_max=1.0, min_steps=200), digits=True)
    train(toy.run)
    assert sum(toy.series("domain_accuracy")[-20:]) / 20 < 0.75


def test_dann_reports_losses_lambda_and_domain_accuracy(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("dann", lambda_max=0.5, min_steps=0, epochs=1))
    train(toy.run)
    steps = toy.run.batches.steps
    for name in ("classification", "domain", "domain_accuracy", "lambda", "learning_rate"):
        assert len(toy.series(name)) == steps
    expected = [0.5 * (2 / (1 + math.exp(-10 * step / steps)) - 1) for step in range(steps)]
    assert toy.series("lambda") == pytest.approx(expected, abs=1e-6)
    rates = [3e-3 / (1 + 10 * step / steps) ** 0.75 for step in range(steps)]
    assert toy.series("learning_rate") == pytest.approx(rates)


def test_domains_are_normalised_separately_and_target_statistics_served() -> None:
    source, target = toy_images(64, 10, target=False), toy_images(64, 10, target=True)
    assert source.labels is not None
    algorithm = Dann(image_network(10), DannParams(), 10)
    for _ in range(60):
        algorithm.terms(Batch(source.inputs, source.labels, target.inputs, 0.5))
    parts = [algorithm.network.get_submodule(name) for name in ("backbone.0", "backbone.1.0", "backbone.1.1")]
    norm = algorithm.network.get_submodule("backbone.1.2")
    assert isinstance(norm, DomainBatchNorm)
    with torch.no_grad():
        maps = nn.Sequential(*parts)(target.inputs)
    assert torch.allclose(norm.running_mean, maps.mean((0, 2, 3)), atol=0.02)
    assert not torch.allclose(norm.source_mean, norm.running_mean, atol=0.02)

    algorithm.eval()
    with torch.no_grad():
        with algorithm.network.source_statistics():
            separate = algorithm.network(source.inputs)
        assert not torch.allclose(separate, algorithm.network(source.inputs), atol=1e-3)
        assert F.cross_entropy(separate, source.labels).isfinite()


def test_texts_of_different_lengths_share_a_batch() -> None:
    preprocessing = TextPreprocessing(kind="terms", vocabulary_size=50, max_length=9)
    network = networks.build(MlpParams(dropout=0), preprocessing, {}, 2)
    random = np.random.default_rng(0)
    source, target = (
        {
            "terms": torch.from_numpy(random.integers(1, 50, (4, length))),
            "weights": torch.from_numpy(random.random((4, length), np.float32)),
        }
        for length in (7, 5)
    )
    batch = Batch(source, torch.tensor([0, 1, 0, 1]), target, 0.5)
    shared, separate = (Dann(network, DannParams(batch_norm=kind), 2) for kind in ("shared", "domain"))
    for one, other in zip(shared.outputs(batch), separate.outputs(batch), strict=True):
        torch.testing.assert_close(one.features, other.features)
        torch.testing.assert_close(one.logits, other.logits)
