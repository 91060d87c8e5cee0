"""Deep correlation alignment.

Sun and Saenko, 2016, https://arxiv.org/abs/1607.01719
"""

from app.algorithms.deep_coral import DeepCoralParams
from worker.algorithms.base import JointAdaptation, Outputs, Terms
from worker.data.batch import Batch
from worker.losses.features import coral


class DeepCoral(JointAdaptation):
    """E = L_y + weight |C_s - C_t|^2 / (4 d^2), C the covariances of the d features."""

    params: DeepCoralParams

    def adaptation(self, source: Outputs, target: Outputs, batch: Batch) -> Terms:
        return {"coral": self.params.weight * coral(source.features, target.features)}
