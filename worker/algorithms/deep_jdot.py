"""Deep joint distribution optimal transport.

Damodaran et al., ECCV 2018, https://arxiv.org/abs/1803.10081
"""

from app.algorithms.deep_jdot import DeepJdotParams
from worker.algorithms.base import JointAdaptation, Outputs, Terms
from worker.data.batch import Batch
from worker.losses.features import optimal_assignment, squared_distances
from worker.losses.predictions import label_costs


class DeepJdot(JointAdaptation):
    """E = L_y + E_plan (alpha |f_i - f_j|^2 + lambda_t CE(g_j, y_i)); the plan is the optimal assignment of a batch."""

    params: DeepJdotParams

    def adaptation(self, source: Outputs, target: Outputs, batch: Batch) -> Terms:
        distances = self.params.feature_weight * squared_distances(source.features, target.features)
        labels = self.params.label_weight * label_costs(target.logits, batch.source_y)
        plan = optimal_assignment(distances + labels)
        return {"transport": distances[plan].mean(), "transported_labels": labels[plan].mean()}
