"""Batch nuclear-norm maximisation.

Cui et al., CVPR 2020, https://arxiv.org/abs/2003.12237
"""

from app.algorithms.bnm import BnmParams
from worker.algorithms.base import JointAdaptation, Outputs, Terms
from worker.data.batch import Batch
from worker.losses.predictions import nuclear_norm


class Bnm(JointAdaptation):
    """E = L_y - weight |G|_* / n, G the softmax (n, classes) of a batch of the target."""

    params: BnmParams

    def adaptation(self, source: Outputs, target: Outputs, batch: Batch) -> Terms:
        return {"nuclear_norm": -self.params.weight * nuclear_norm(target.logits)}
