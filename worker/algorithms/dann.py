"""Domain-adversarial training of neural networks.

Ganin et al., JMLR 2016, https://arxiv.org/abs/1505.07818
"""

from torch import Tensor

from app.algorithms.dann import DannParams
from worker.algorithms.base import JointAdaptation, Outputs, Terms
from worker.components.adversarial import DomainAdversary
from worker.data.batch import Batch
from worker.networks.base import Network


class Dann(JointAdaptation):
    """E = L_y - lambda L_d for the features; the discriminator itself trains at full strength."""

    adversarial_terms = frozenset({"domain"})
    params: DannParams

    def __init__(self, network: Network, params: DannParams, classes: int) -> None:
        super().__init__(network, params, classes)
        self.adversary = DomainAdversary(network.feature_width, params)

    def adaptation(self, source: Outputs, target: Outputs, batch: Batch) -> Terms:
        return {"domain": self.adversary(source.features, target.features, batch.progress)}

    def diagnostics(self) -> dict[str, Tensor | float]:
        return self.adversary.metrics
