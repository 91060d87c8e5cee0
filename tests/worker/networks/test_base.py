import torch
from torch import nn

from worker.networks.base import DomainBatchNorm, Network, with_domain_norms


def network() -> Network:
    return Network(nn.Sequential(nn.Flatten(), DomainBatchNorm(3)), nn.Identity(), nn.Linear(3, 2), 3)


def test_domain_batch_norm_equals_batch_norm() -> None:
    values = torch.randn(20, 3, 4, 4) * 3 + 1
    ours, theirs = DomainBatchNorm(3), nn.BatchNorm2d(3)
    for _ in range(3):
        assert torch.allclose(ours(values), theirs(values), atol=1e-6)
    assert torch.allclose(ours.eval()(values), theirs.eval()(values), atol=1e-6)
    assert theirs.running_var is not None
    assert torch.allclose(ours.running_var, theirs.running_var)


def test_source_statistics_are_used_only_inside_the_block() -> None:
    adapted = network()
    norm = adapted.backbone.get_submodule("1")
    assert isinstance(norm, DomainBatchNorm)
    with adapted.source_statistics():
        for _ in range(100):
            adapted.features(torch.randn(200, 3) + 5)  # type: ignore[arg-type]
    assert torch.allclose(norm.source_mean, torch.full((3,), 5.0), atol=0.2)
    assert not norm.running_mean.any()
    for _ in range(100):
        adapted.features(torch.randn(200, 3) - 5)  # type: ignore[arg-type]
    adapted.eval()
    assert adapted.features(torch.full((1, 3), -5.0)).abs().max() < 0.3  # type: ignore[arg-type]
    with adapted.source_statistics():
        assert adapted.features(torch.full((1, 3), 5.0)).abs().max() < 0.3  # type: ignore[arg-type]


def test_state_dict_contains_both_statistics() -> None:
    names = network().state_dict()
    assert {"backbone.1.source_mean", "backbone.1.running_mean"} <= names.keys()


def test_forget_source_statistics_uses_running_statistics_for_both() -> None:
    norm = DomainBatchNorm(3)
    adapted = Network(nn.Identity(), norm, nn.Identity(), 3).eval()
    norm.running_mean.fill_(1)
    adapted.copy_to_source_statistics()
    norm.running_mean.fill_(2)
    with adapted.source_statistics():
        assert torch.allclose(norm(torch.ones(4, 3)), torch.zeros(4, 3))
        adapted.forget_source_statistics()
        assert torch.allclose(norm(torch.ones(4, 3)), -torch.ones(4, 3), atol=1e-4)


def test_domain_norms_keep_the_outputs_of_batch_norms() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.BatchNorm2d(4, eps=0.1, momentum=0.3), nn.ReLU()))
    for parameter in plain.parameters():
        nn.init.normal_(parameter)
    images = torch.randn(8, 3, 6, 6)
    plain(images)
    before = plain.eval()(images)
    ours = with_domain_norms(plain)
    norm = ours.get_submodule("1.0")
    assert isinstance(norm, DomainBatchNorm)
    assert torch.equal(norm.source_mean, norm.running_mean)
    assert torch.equal(norm.source_var, norm.running_var)
    torch.testing.assert_close(ours.eval()(images), before)
    assert isinstance(with_domain_norms(nn.BatchNorm1d(2)), DomainBatchNorm)
    assert isinstance(with_domain_norms(nn.BatchNorm1d(2, affine=False)), nn.BatchNorm1d)
