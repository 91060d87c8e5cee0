"""Domain-adversarial training of neural networks. Ganin et al., JMLR 2016, https://arxiv.org/abs/1505.07818"""

from typing import Any

import torch
from torch import Tensor

from app.algorithms.dann import DannParams
from worker import losses
from worker.adversarial import Discriminator, reverse_gradient
from worker.algorithms.base import Adaptation, Batch, Outputs, Terms
from worker.networks.base import Network
from worker.schedules import ramp


class Dann(Adaptation):
    """E = L_y - lambda L_d for the features; the discriminator itself trains at full strength."""

    params: DannParams

    def __init__(self, network: Network, params: Any, classes: int) -> None:
        super().__init__(network, params, classes)
        self.discriminator = Discriminator(network.feature_width, params.discriminator_width, params.discriminator_dropout)
        self._measures: dict[str, Tensor | float] = {}

    def adaptation(self, source: Outputs, target: Outputs, batch: Batch) -> Terms:
        strength = self.params.lambda_max * ramp(batch.progress)
        seen = reverse_gradient(torch.cat([source.features, target.features]), strength)
        source_side, target_side = self.discriminator(seen).tensor_split([len(source.features)])
        self._measures = {
            "lambda": strength,
            "domain_accuracy": losses.domain_accuracy(source_side.detach(), target_side.detach()),
        }
        return {"domain": losses.domain(source_side, target_side)}

    def measures(self) -> dict[str, Tensor | float]:
        return self._measures
