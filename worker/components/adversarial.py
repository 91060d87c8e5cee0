"""Gradient reversal and the discriminator of adversarial algorithms (Ganin and Lempitsky, ICML 2015)."""

from typing import Any

import torch
from torch import Tensor, nn

from app.algorithms.base import AdversarialParams
from worker.components.schedules import sigmoid_ramp_up
from worker.losses.domains import domain_accuracy, domain_bce


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor, strength: float) -> Tensor:
        context.strength = strength
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * -context.strength, None


def reverse_gradient(values: Tensor, strength: float) -> Tensor:
    """Return the same values with their gradient multiplied by -strength. Later layers train at full strength."""
    reversed_: Tensor = _Reversal.apply(values, strength)  # type: ignore[no-untyped-call]
    return reversed_


class Discriminator(nn.Module):
    """Maps features (n, width) to logits (n,), high for the source, with two hidden layers.

    It has no batch norm, because the statistics of a batch reveal its domain.
    """

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        layers = [(nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(dropout)) for inputs in (width, hidden)]
        self.layers = nn.Sequential(*layers[0], *layers[1], nn.Linear(hidden, 1))

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.layers(features).squeeze(1)
        return logits


class DomainAdversary(nn.Module):
    """A discriminator behind gradient reversal. `metrics` holds lambda and its accuracy on the last batch."""

    def __init__(self, width: int, params: AdversarialParams) -> None:
        super().__init__()
        self.discriminator = Discriminator(width, params.discriminator_width, params.discriminator_dropout)
        self.metrics: dict[str, Tensor | float] = {}
        self._lambda_max = params.lambda_max

    def forward(self, source: Tensor, target: Tensor, progress: float, weights: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Compute the domain loss L_d of features (n, width) and (m, width). Their gradient is multiplied by -lambda."""
        strength = self._lambda_max * sigmoid_ramp_up(progress)
        logits: Tensor = self.discriminator(reverse_gradient(torch.cat([source, target]), strength))
        source_logits, target_logits = logits.tensor_split([len(source)])
        accuracy = domain_accuracy(source_logits.detach(), target_logits.detach())
        self.metrics = {"lambda": strength, "domain_accuracy": accuracy}
        return domain_bce(source_logits, target_logits, weights)
