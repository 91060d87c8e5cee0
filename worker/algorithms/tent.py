"""Entropy minimisation by the normalisation layers.

Wang et al., ICLR 2021, https://arxiv.org/abs/2006.10726
"""

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from app.algorithms.tent import TentParams
from worker.algorithms.base import SourceFree, Terms
from worker.data.batch import Batch
from worker.losses.predictions import entropies
from worker.networks.base import DomainBatchNorm, Network
from worker.protocol.progress import BadParameters

NORMS = (DomainBatchNorm, _BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


class Tent(SourceFree):
    """E = E H(p) over the target, minimised over scale and shift of the norms only. Batch norm uses target statistics."""

    params: TentParams

    def __init__(self, network: Network, params: TentParams, classes: int) -> None:
        super().__init__(network, params, classes)
        norms = [module for module in network.modules() if isinstance(module, NORMS)]
        self._affine = [weight for norm in norms for weight in norm.parameters()]
        if not self._affine:
            raise BadParameters("`tent` trains scales and shifts of normalisation layers, but this network has no such layers.")
        network.requires_grad_(False)
        for weight in self._affine:
            weight.requires_grad_(True)

    def terms(self, batch: Batch) -> Terms:
        return {"entropy": entropies(self.compute_outputs(batch.target_x).logits).mean()}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the norms' weights at the full learning rate, also for a pretrained encoder."""
        return [{"params": self._affine, "factor": 1.0}]
