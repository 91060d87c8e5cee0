"""Deep adaptation networks.

Long et al., ICML 2015, https://arxiv.org/abs/1502.02791
"""

import torch

from app.algorithms.dan import DanParams
from worker.algorithms.base import JointAdaptation, Outputs, Terms
from worker.data.batch import Batch
from worker.losses.features import mmd_squared, multi_bandwidth_gaussian_kernel


class Dan(JointAdaptation):
    """E = L_y + weight (E k(s, s') + E k(t, t') - 2 E k(s, t)), k the mean of five Gaussian kernels of the features."""

    params: DanParams

    def adaptation(self, source: Outputs, target: Outputs, batch: Batch) -> Terms:
        kernel = multi_bandwidth_gaussian_kernel(torch.cat([source.features, target.features]))
        return {"discrepancy": self.params.weight * mmd_squared(kernel, len(source.features))}
