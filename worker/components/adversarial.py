"""What adversarial algorithms share: gradient reversal and the domain classifier (Ganin and Lempitsky, ICML 2015)."""

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


class DomainAdversary(nn.Module):
    """A domain classifier that the features work against, with lambda and its accuracy on the last batch as measures."""

    def __init__(self, width: int, params: AdversarialParams) -> None:
        super().__init__()
        self.discriminator = Discriminator(width, params.discriminator_width, params.discriminator_dropout)
        self.measures: dict[str, Tensor | float] = {}
        self._lambda_max = params.lambda_max

    def forward(self, source: Tensor, target: Tensor, progress: float, weights: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """The domain loss L_d of features (n, width) and (m, width), whose gradient reaches them times -lambda."""
        strength = self._lambda_max * sigmoid_ramp_up(progress)
        logits: Tensor = self.discriminator(reverse_gradient(torch.cat([source, target]), strength))
        source_side, target_side = logits.tensor_split([len(source)])
        accuracy = domain_accuracy(source_side.detach(), target_side.detach())
        self.measures = {"lambda": strength, "domain_accuracy": accuracy}
        return domain_bce(source_side, target_side, weights)
