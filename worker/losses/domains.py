"""Discriminator losses and metrics. Logits are (n,) for the source and (m,) for the target, high for the source."""

import torch
from torch import Tensor
from torch.nn import functional as F


def domain_bce(source: Tensor, target: Tensor, weights: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Compute the mean binary cross-entropy of domain logits (n,) and (m,), with label 1 for the source and 0 for the target.

    `weights` (n,) and (m,) multiply the loss of each example.
    """
    labels = torch.cat([torch.ones_like(source), torch.zeros_like(target)])
    weight = None if weights is None else torch.cat(weights)
    return F.binary_cross_entropy_with_logits(torch.cat([source, target]).float(), labels.float(), weight)


def domain_accuracy(source: Tensor, target: Tensor) -> Tensor:
    """Compute the fraction of domain logits (n,) and (m,) with the correct sign."""
    return torch.cat([source > 0, target <= 0]).float().mean()
