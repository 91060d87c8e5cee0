"""Joint adaptation networks. Long et al., ICML 2017, https://arxiv.org/abs/1605.06636"""

import torch

from app.algorithms.jan import JanParams
from worker import losses
from worker.algorithms.base import Adaptation, Outputs, Terms
from worker.components.schedules import ramp
from worker.data.batch import Batch

BANDWIDTH = 1.68
"""Of the predictions' kernel, from the authors' code."""


class Jan(Adaptation):
    """E = L_y + weight ramp(p) MMD^2 with k(f, f') k'(g, g'): five Gaussian kernels of the features, one of the softmax g."""

    params: JanParams

    def adaptation(self, source: Outputs, target: Outputs, batch: Batch) -> Terms:
        features = losses.median_kernel(torch.cat([source.features, target.features]))
        shares = losses.gaussian_kernel(torch.cat([source.logits, target.logits]).softmax(1), BANDWIDTH)
        discrepancy = losses.mean_discrepancy(features * shares, len(source.features))
        return {"discrepancy": self.params.weight * ramp(batch.progress) * discrepancy}
