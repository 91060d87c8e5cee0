"""Adversarial discriminative domain adaptation.

Tzeng et al., CVPR 2017, https://arxiv.org/abs/1702.05464
"""

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
    """D minimises L_d on the features of the frozen source encoder and the target encoder, which minimises -log D.

    The head keeps its weights from the source. Only weights are frozen: both encoders use dropout and batch statistics as in
    training, because a difference would reveal the domain.
    """

    params: AddaParams

    def __init__(self, network: Network, params: AddaParams, classes: int) -> None:
        super().__init__(network, params, classes)
        self.source_network = deepcopy(network).requires_grad_(False)
        network.head.requires_grad_(False)
        self.discriminator = Discriminator(network.feature_width, params.discriminator_width, params.discriminator_dropout)
        self._metrics: dict[str, Tensor | float] = {}

    def terms(self, batch: Batch) -> Terms:
        source, target = self.source_network.features(batch.source_x).float(), self.network.features(batch.target_x).float()
        source_logits, target_logits = self.discriminator(source), self.discriminator(target.detach())
        self._metrics = {"domain_accuracy": domain_accuracy(source_logits.detach(), target_logits.detach())}
        fixed = {name: weight.detach() for name, weight in self.discriminator.named_parameters()}
        inverted = functional_call(self.discriminator, fixed, target)
        return {"domain": domain_bce(source_logits, target_logits), "confusion": domain_bce(inverted, inverted[:0])}

    def diagnostics(self) -> dict[str, Tensor | float]:
        return self._metrics
