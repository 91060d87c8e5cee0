"""What adversarial algorithms share: gradient reversal and the domain classifier (Ganin and Lempitsky, ICML 2015)."""

from typing import Any

import torch
from torch import Tensor, nn


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor, strength: float) -> Tensor:
        context.strength = strength
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * -context.strength, None


def reverse_gradient(values: Tensor, strength: float) -> Tensor:
    """The same values; their gradient is multiplied with -strength. What comes after it trains at full strength."""
    reversed_: Tensor = _Reversal.apply(values, strength)  # type: ignore[no-untyped-call]
    return reversed_


class Discriminator(nn.Module):
    """Features (n, width) to one logit each (n,), high for the source. Two hidden layers, no batch norm.

    Batch norm would see the domain in the batch's statistics.
    """

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        layers = [(nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(dropout)) for inputs in (width, hidden)]
        self.layers = nn.Sequential(*layers[0], *layers[1], nn.Linear(hidden, 1))

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.layers(features).squeeze(1)
        return logits
