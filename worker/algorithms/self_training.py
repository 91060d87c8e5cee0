"""Self-training on confident pseudo-labels; for images as FixMatch.

Sohn et al., NeurIPS 2020, https://arxiv.org/abs/2001.07685,
with the minimum class confusion of Jin et al., ECCV 2020, https://arxiv.org/abs/1912.03699
"""

from dataclasses import replace

from torch import Tensor

from app.algorithms.self_training import SelfTrainingParams
from worker.algorithms.base import JointAdaptation, Outputs, Terms
from worker.components.augmentation import augment
from worker.components.schedules import sigmoid_ramp_up
from worker.data.batch import Batch
from worker.losses.predictions import class_confusion, confident_cross_entropy
from worker.networks.base import Network, frozen_batch_statistics


class SelfTraining(JointAdaptation):
    """E = L_y + weight ramp(p) E [max q >= tau] CE(p(strong), argmax q) + confusion (sum M - tr M) / K.

    q is the prediction for the weakly augmented image, M the correlation of the classes in q at temperature T. Other inputs
    than images are not augmented.
    """

    params: SelfTrainingParams

    def __init__(self, network: Network, params: SelfTrainingParams, classes: int) -> None:
        super().__init__(network, params, classes)
        self._metrics: dict[str, Tensor | float] = {}

    def adaptation(self, source: Outputs, target: Outputs, batch: Batch) -> Terms:
        strong = target
        if batch.augmentable:
            with frozen_batch_statistics(self.network):
                strong = self.compute_outputs(augment(batch.target_x, batch.augmentable, "strong"))
        loss, confident_fraction = confident_cross_entropy(strong.logits, target.logits, self.params.threshold)
        self._metrics = {"confident_share": confident_fraction}
        return {
            "pseudo_labels": self.params.weight * sigmoid_ramp_up(batch.progress) * loss,
            "confusion": self.params.confusion * class_confusion(target.logits, self.params.temperature),
        }

    def outputs(self, batch: Batch) -> tuple[Outputs, Outputs]:
        return super().outputs(replace(batch, target_x=augment(batch.target_x, batch.augmentable, "affine")))

    def diagnostics(self) -> dict[str, Tensor | float]:
        return self._metrics
