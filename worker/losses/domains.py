"""Losses and measures of domain classifiers: logits (n,) of the source and (m,) of the target, high for the source."""

import torch
from torch import Tensor
from torch.nn import functional as F


def domain_bce(source: Tensor, target: Tensor, weights: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Binary cross-entropy of domain logits (n,) and (m,), source 1 and target 0: the mean over all n + m examples.

    `weights` (n,) and (m,) multiply each example's.
    """
    labels = torch.cat([torch.ones_like(source), torch.zeros_like(target)])
    weight = None if weights is None else torch.cat(weights)
    return F.binary_cross_entropy_with_logits(torch.cat([source, target]).float(), labels.float(), weight)


def domain_accuracy(source: Tensor, target: Tensor) -> Tensor:
    """Share of domain logits (n,) and (m,) on the right side of 0."""
    return torch.cat([source > 0, target <= 0]).float().mean()
