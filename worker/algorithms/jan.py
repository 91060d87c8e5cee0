"""Joint adaptation networks.

Long et al., ICML 2017, https://arxiv.org/abs/1605.06636
"""

import torch

from app.algorithms.jan import JanParams
from worker.algorithms.base import JointAdaptation, Outputs, Terms
from worker.components.schedules import sigmoid_ramp_up
from worker.data.batch import Batch
from worker.losses.features import gaussian_kernel, mmd_squared, multi_bandwidth_gaussian_kernel

BANDWIDTH = 1.68
"""Bandwidth of the kernel of predictions, from the authors' code."""


class Jan(JointAdaptation):
    """E = L_y + weight ramp(p) MMD^2 with k(f, f') k'(g, g'): five Gaussian kernels of the features, one of the softmax g."""

    params: JanParams

    def adaptation(self, source: Outputs, target: Outputs, batch: Batch) -> Terms:
        features = multi_bandwidth_gaussian_kernel(torch.cat([source.features, target.features]))
        predictions = gaussian_kernel(torch.cat([source.logits, target.logits]).softmax(1), BANDWIDTH)
        discrepancy = mmd_squared(features * predictions, len(source.features))
        return {"discrepancy": self.params.weight * sigmoid_ramp_up(batch.progress) * discrepancy}
