"""Maximum classifier discrepancy.

Saito et al., CVPR 2018, https://arxiv.org/abs/1712.02560
"""

from torch import Tensor, nn

from app.algorithms.mcd import McdParams
from worker.algorithms.base import JointAdaptation, Outputs, Terms, Update
from worker.data.batch import Batch
from worker.losses.predictions import classifier_discrepancy
from worker.networks.base import Network, frozen_batch_statistics


class Mcd(JointAdaptation):
    """min over all L_y; min over both heads L_y - weight d(p_1, p_2); k times min over the features weight d(p_1, p_2).

    d is the mean absolute difference of the two heads' softmax on the target. The first head is served.
    """

    params: McdParams

    def __init__(self, network: Network, params: McdParams, classes: int) -> None:
        super().__init__(network, params, classes)
        self.second_head = nn.Linear(network.feature_width, classes)
        self._encoder = [*network.backbone.parameters(), *network.bottleneck.parameters()]

    def step(self, batch: Batch, descend: Update) -> Terms:
        terms = descend(lambda: self._with_discrepancy(0, batch))
        if "discrepancy" not in terms:
            return terms
        descend(lambda: self._with_discrepancy(-1, batch), [*self.network.head.parameters(), *self.second_head.parameters()])
        # the statistics already include the batch, and shared statistics also cover the source
        with frozen_batch_statistics(self.network):
            for _ in range(self.params.feature_updates):
                agreed = descend(lambda: self._discrepancy(self.compute_outputs(batch.target_x)), self._encoder)
        return terms | agreed

    def adaptation(self, source: Outputs, target: Outputs, batch: Batch) -> Terms:
        second = self.classification(self.second_head(source.features), batch.source_y)
        return {"second_classification": second} | self._discrepancy(target)

    def _discrepancy(self, target: Outputs) -> Terms:
        discrepancy = classifier_discrepancy(target.logits, self.second_head(target.features).float())
        return {"discrepancy": self.params.weight * discrepancy}

    def _with_discrepancy(self, sign: float, batch: Batch) -> dict[str, Tensor]:
        terms = self.terms(batch)
        return terms | {name: sign * term for name, term in terms.items() if name == "discrepancy"}
