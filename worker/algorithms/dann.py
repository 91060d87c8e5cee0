"""Domain-adversarial training of neural networks. Ganin et al., JMLR 2016, https://arxiv.org/abs/1505.07818"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from app.algorithms.dann import DannParams
from worker import losses
from worker.adversarial import Discriminator, reverse_gradient
from worker.algorithms.base import Algorithm, Batch
from worker.networks.base import Inputs, Network
from worker.schedules import ramp


class Dann(Algorithm):
    """E = L_y - lambda L_d for the features; the discriminator itself trains at full strength."""

    params: DannParams

    def __init__(self, network: Network, params: Any, classes: int) -> None:
        super().__init__(network, params, classes)
        self.discriminator = Discriminator(network.feature_width, params.discriminator_width, params.discriminator_dropout)
        self._measures: dict[str, Tensor | float] = {}

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        strength = self.params.lambda_max * ramp(batch.progress)
        source, target = self._features(batch)
        seen = reverse_gradient(torch.cat([source, target]), strength)
        source_side, target_side = self.discriminator(seen).tensor_split([len(source)])
        self._measures = {
            "lambda": strength,
            "domain_accuracy": losses.domain_accuracy(source_side.detach(), target_side.detach()),
        }
        return {
            "classification": F.cross_entropy(self.network.head(source).float(), batch.source_y),
            "domain": losses.domain(source_side, target_side),
        }

    def measures(self) -> dict[str, Tensor | float]:
        return self._measures

    def source_logits(self, inputs: Inputs) -> Tensor:
        if self.params.batch_norm == "shared":
            return super().source_logits(inputs)
        with self.network.source_statistics():
            return super().source_logits(inputs)

    def _features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Of source and target: forwarded apart, each normalised by its own batch, or as one batch."""
        assert batch.target_x is not None
        if self.params.batch_norm == "shared":
            both = {name: _one_batch(values, batch.target_x[name]) for name, values in batch.source_x.items()}
            source, target = self.network.features(both).tensor_split([len(batch.source_y)])
            return source, target
        with self.network.source_statistics():
            source = self.network.features(batch.source_x)
        return source, self.network.features(batch.target_x)


def _one_batch(source: Tensor, target: Tensor) -> Tensor:
    """Source over target; where their lengths (axis 1) differ, as those of texts do, the shorter is padded with zeros."""
    if source.ndim == 2:
        longest = max(source.shape[1], target.shape[1])
        source, target = (F.pad(values, (0, longest - values.shape[1])) for values in (source, target))
    return torch.cat([source, target])
