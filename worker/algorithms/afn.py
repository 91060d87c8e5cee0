"""Adaptive feature norm, stepwise.

Xu et al., ICCV 2019, https://arxiv.org/abs/1811.07456
"""

import torch
from torch import Tensor

from app.algorithms.afn import AfnParams
from worker.algorithms.base import JointAdaptation, Outputs, Terms
from worker.data.batch import Batch
from worker.losses.features import stepwise_norm
from worker.networks.base import Network


class Afn(JointAdaptation):
    """E = L_y + weight E (|f| - (|f|_now + step))^2 over the source, and the same over the target."""

    params: AfnParams

    def __init__(self, network: Network, params: AfnParams, classes: int) -> None:
        super().__init__(network, params, classes)
        self._metrics: dict[str, Tensor | float] = {}

    def adaptation(self, source: Outputs, target: Outputs, batch: Batch) -> Terms:
        sides = {"source": source.features, "target": target.features}
        with torch.no_grad():
            self._metrics = {f"{side}_norm": torch.linalg.vector_norm(values, dim=1).mean() for side, values in sides.items()}
        norms = [stepwise_norm(values, self.params.norm_step) for values in sides.values()]
        return {"norm": self.params.weight * (norms[0] + norms[1])}

    def diagnostics(self) -> dict[str, Tensor | float]:
        return self._metrics
