"""Minimum class confusion.

Jin et al., ECCV 2020, https://arxiv.org/abs/1912.03699
"""

from app.algorithms.mcc import MccParams
from worker.algorithms.base import JointAdaptation, Outputs, Terms
from worker.data.batch import Batch
from worker.losses.predictions import class_confusion


class Mcc(JointAdaptation):
    """E = L_y + weight (sum M - tr M) / K, M the correlation of the classes in the target's predictions at temperature T."""

    params: MccParams

    def adaptation(self, source: Outputs, target: Outputs, batch: Batch) -> Terms:
        return {"confusion": self.params.weight * class_confusion(target.logits, self.params.temperature)}
