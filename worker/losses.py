"""Losses and measures: pure functions of tensors."""

import torch
from torch import Tensor
from torch.nn import functional as F


def domain(source: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of domain logits (n,) and (m,), source 1 and target 0: the mean over all n + m examples."""
    labels = torch.cat([torch.ones_like(source), torch.zeros_like(target)])
    return F.binary_cross_entropy_with_logits(torch.cat([source, target]).float(), labels.float())


def domain_accuracy(source: Tensor, target: Tensor) -> Tensor:
    """Share of domain logits (n,) and (m,) on the right side of 0."""
    return torch.cat([source > 0, target <= 0]).float().mean()
