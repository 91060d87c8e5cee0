"""Conditional adversarial domain adaptation.

Long et al., NeurIPS 2018, https://arxiv.org/abs/1705.10667
"""

import math

import torch
from torch import Tensor, nn

from app.algorithms.cdan import CdanParams
from worker.algorithms.base import JointAdaptation, Outputs, Terms
from worker.components.adversarial import DomainAdversary
from worker.data.batch import Batch
from worker.losses.predictions import entropy_weights
from worker.networks.base import Network

MAX_PRODUCT_WIDTH = 4096
RANDOMIZED_WIDTH = 1024


class Cdan(JointAdaptation):
    """E = L_y - lambda L_d: D takes T(f, g), g the softmax without a gradient. Weights in L_d are 1 + exp(-H(g)).

    The weights are scaled to mean 1 in each domain.
    """

    adversarial_terms = frozenset({"domain"})
    params: CdanParams

    def __init__(self, network: Network, params: CdanParams, classes: int) -> None:
        super().__init__(network, params, classes)
        width = network.feature_width * classes
        is_wide = width > MAX_PRODUCT_WIDTH
        self.multilinear_map = RandomizedMultilinearMap(network.feature_width, classes) if is_wide else MultilinearMap()
        self.adversary = DomainAdversary(RANDOMIZED_WIDTH if is_wide else width, params)

    def adaptation(self, source: Outputs, target: Outputs, batch: Batch) -> Terms:
        weights = None
        if self.params.entropy_conditioning:
            weights = entropy_weights(source.logits), entropy_weights(target.logits)
        conditioned = [self.multilinear_map(side.features, side.logits.detach().softmax(1)) for side in (source, target)]
        return {"domain": self.adversary(*conditioned, batch.progress, weights)}

    def diagnostics(self) -> dict[str, Tensor | float]:
        return self.adversary.metrics


class MultilinearMap(nn.Module):
    """T(f, g) = f (x) g: maps features (n, d) and probabilities (n, classes) to their products (n, d * classes)."""

    def forward(self, features: Tensor, probabilities: Tensor) -> Tensor:
        return (features.unsqueeze(2) * probabilities.unsqueeze(1)).flatten(1)


class RandomizedMultilinearMap(nn.Module):
    """T(f, g) = (R_f f) * (R_g g) / sqrt(1024) (n, 1024) with fixed normal matrices R.

    Its scalar products equal those of f (x) g in expectation.
    """

    by_features: Tensor
    by_probabilities: Tensor

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("by_features", torch.randn(width, RANDOMIZED_WIDTH))
        self.register_buffer("by_probabilities", torch.randn(classes, RANDOMIZED_WIDTH))

    def forward(self, features: Tensor, probabilities: Tensor) -> Tensor:
        return (features @ self.by_features) * (probabilities @ self.by_probabilities) / math.sqrt(RANDOMIZED_WIDTH)
