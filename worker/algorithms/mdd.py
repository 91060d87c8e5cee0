"""Margin disparity discrepancy.

Zhang et al., ICML 2019, https://arxiv.org/abs/1904.05801
"""

import torch
from torch import Tensor, nn

from app.algorithms.mdd import MddParams
from worker.algorithms.base import JointAdaptation, Outputs, Terms
from worker.components.adversarial import reverse_gradient
from worker.components.schedules import sigmoid_ramp_up
from worker.data.batch import Batch
from worker.losses.predictions import margin_disparity
from worker.networks.base import Network


class Mdd(JointAdaptation):
    """E = L_y - lambda D for the features; the second classifier q minimises D = -gamma E_s log q_y - E_t log(1 - q_y).

    y is the prediction of the first classifier.
    """

    adversarial_terms = frozenset({"disparity"})
    params: MddParams

    def __init__(self, network: Network, params: MddParams, classes: int) -> None:
        super().__init__(network, params, classes)
        width = params.auxiliary_width
        self.auxiliary = nn.Sequential(nn.Linear(network.feature_width, width), nn.ReLU(), nn.Linear(width, classes))
        self._strength = 0.0

    def adaptation(self, source: Outputs, target: Outputs, batch: Batch) -> Terms:
        self._strength = self.params.lambda_max * sigmoid_ramp_up(batch.progress)
        features = reverse_gradient(torch.cat([source.features, target.features]), self._strength)
        source_logits, target_logits = self.auxiliary(features).float().tensor_split([len(source.features)])
        labels = source.logits.argmax(1), target.logits.argmax(1)
        return {"disparity": margin_disparity(source_logits, target_logits, *labels, self.params.margin)}

    def diagnostics(self) -> dict[str, Tensor | float]:
        return {"lambda": self._strength}
