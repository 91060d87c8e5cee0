"""Batch spectral penalisation.

Chen et al., ICML 2019, https://proceedings.mlr.press/v97/chen19i.html
"""

from torch import Tensor

from app.algorithms.bsp import BspParams
from worker.algorithms.base import JointAdaptation, Outputs, Terms
from worker.components.adversarial import DomainAdversary
from worker.data.batch import Batch
from worker.losses.features import largest_singular_values
from worker.networks.base import Network


class Bsp(JointAdaptation):
    """E = L_y - lambda L_d + weight sum_{i <= k} (sigma_i(F_s)^2 + sigma_i(F_t)^2), F a batch's features (n, d)."""

    adversarial_terms = frozenset({"domain"})
    params: BspParams

    def __init__(self, network: Network, params: BspParams, classes: int) -> None:
        super().__init__(network, params, classes)
        self.adversary = DomainAdversary(network.feature_width, params)

    def adaptation(self, source: Outputs, target: Outputs, batch: Batch) -> Terms:
        spectrum = [largest_singular_values(side.features, self.params.singular_values) for side in (source, target)]
        return {
            "domain": self.adversary(source.features, target.features, batch.progress),
            "spectral": self.params.weight * (spectrum[0] + spectrum[1]),
        }

    def diagnostics(self) -> dict[str, Tensor | float]:
        return self.adversary.metrics
