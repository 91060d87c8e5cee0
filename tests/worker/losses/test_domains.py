import numpy as np
import pytest
import torch

from worker.losses import domains


def test_domain_bce_is_the_mean_cross_entropy() -> None:
    random = np.random.default_rng(0)
    source, target = random.normal(size=7), random.normal(size=5)
    correct = np.concatenate([1 / (1 + np.exp(-source)), 1 - 1 / (1 + np.exp(-target))])
    loss = domains.domain_bce(torch.from_numpy(source), torch.from_numpy(target))
    assert float(loss) == pytest.approx(-np.log(correct).mean(), rel=1e-6)


def test_domain_bce_is_finite_for_extreme_logits() -> None:
    assert float(domains.domain_bce(torch.tensor([-1000.0]), torch.tensor([1000.0]))) == 1000


def test_domain_accuracy_counts_correct_signs() -> None:
    assert float(domains.domain_accuracy(torch.tensor([1.0, -1.0, 2.0]), torch.tensor([-3.0]))) == pytest.approx(0.75)


def test_domain_bce_multiplies_example_losses_by_weights() -> None:
    source, target = torch.tensor([0.3, -1.0]), torch.tensor([2.0])
    weights = torch.tensor([2.0, 0.0]), torch.tensor([1.0])
    each = np.array([np.log1p(np.exp(-0.3)), np.log1p(np.exp(1.0)), np.log1p(np.exp(2.0))])
    assert float(domains.domain_bce(source, target, weights)) == pytest.approx((2 * each[0] + each[2]) / 3, rel=1e-6)
