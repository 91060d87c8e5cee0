"""Conditional adversarial domain adaptation. Long et al., NeurIPS 2018, https://arxiv.org/abs/1705.10667"""

import math

import torch
from torch import Tensor, nn

from app.algorithms.cdan import CdanParams
from worker.algorithms.base import JointAdaptation, Outputs, Terms
from worker.components.adversarial import DomainAdversary
from worker.data.batch import Batch
from worker.losses.predictions import entropy_weights
from worker.networks.base import Network

WIDEST_PRODUCT = 4096
RANDOM_WIDTH = 1024


class Cdan(JointAdaptation):
    """E = L_y - lambda L_d: D sees T(f, g), g the softmax, without a gradient; examples weigh 1 + exp(-H(g)) in L_d.

    The weights have the mean 1 in each domain.
    """

    adversarial_terms = frozenset({"domain"})
    params: CdanParams

    def __init__(self, network: Network, params: CdanParams, classes: int) -> None:
        super().__init__(network, params, classes)
        width = network.feature_width * classes
        wide = width > WIDEST_PRODUCT
        self.joined = RandomizedMultilinearMap(network.feature_width, classes) if wide else MultilinearMap()
        self.adversary = DomainAdversary(RANDOM_WIDTH if wide else width, params)

    def adaptation(self, source: Outputs, target: Outputs, batch: Batch) -> Terms:
        weights = None
        if self.params.entropy_conditioning:
            weights = entropy_weights(source.logits), entropy_weights(target.logits)
        joined = [self.joined(side.features, side.logits.detach().softmax(1)) for side in (source, target)]
        return {"domain": self.adversary(*joined, batch.progress, weights)}

    def diagnostics(self) -> dict[str, Tensor | float]:
        return self.adversary.measures


class MultilinearMap(nn.Module):
    """T(f, g) = f (x) g: features (n, d) and shares (n, classes) to all their products (n, d * classes)."""

    def forward(self, features: Tensor, shares: Tensor) -> Tensor:
        return (features.unsqueeze(2) * shares.unsqueeze(1)).flatten(1)


class RandomizedMultilinearMap(nn.Module):
    """T(f, g) = (R_f f) * (R_g g) / sqrt(1024) (n, 1024), R fixed normal matrices: scalar products are those of f (x) g."""

    by_features: Tensor
    by_shares: Tensor

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("by_features", torch.randn(width, RANDOM_WIDTH))
        self.register_buffer("by_shares", torch.randn(classes, RANDOM_WIDTH))

    def forward(self, features: Tensor, shares: Tensor) -> Tensor:
        return (features @ self.by_features) * (shares @ self.by_shares) / math.sqrt(RANDOM_WIDTH)
