"""Adversarial discriminative domain adaptation. Tzeng et al., CVPR 2017, https://arxiv.org/abs/1702.05464"""

from copy import deepcopy

from torch import Tensor
from torch.func import functional_call

from app.algorithms.adda import AddaParams
from worker.algorithms.base import Algorithm, Terms
from worker.components.adversarial import Discriminator
from worker.data.batch import Batch
from worker.losses.domains import domain_accuracy, domain_bce
from worker.networks.base import Network


class Adda(Algorithm):
    """D minimises L_d on the source's frozen encoder and the target's; the target's minimises -log D of its features.

    The head stays as it was trained on the source. What is frozen are weights: dropout and the statistics of a batch are those of
    training in both encoders, or they would tell the domains apart.
    """

    params: AddaParams

    def __init__(self, network: Network, params: AddaParams, classes: int) -> None:
        super().__init__(network, params, classes)
        self.source_network = deepcopy(network).requires_grad_(False)
        network.head.requires_grad_(False)
        self.discriminator = Discriminator(network.feature_width, params.discriminator_width, params.discriminator_dropout)
        self._measures: dict[str, Tensor | float] = {}

    def terms(self, batch: Batch) -> Terms:
        source, target = self.source_network.features(batch.source_x).float(), self.network.features(batch.target_x).float()
        source_side, target_side = self.discriminator(source), self.discriminator(target.detach())
        self._measures = {"domain_accuracy": domain_accuracy(source_side.detach(), target_side.detach())}
        fixed = {name: weight.detach() for name, weight in self.discriminator.named_parameters()}
        inverted = functional_call(self.discriminator, fixed, target)
        return {"domain": domain_bce(source_side, target_side), "confusion": domain_bce(inverted, inverted[:0])}

    def diagnostics(self) -> dict[str, Tensor | float]:
        return self._measures
