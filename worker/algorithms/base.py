"""What an adaptation algorithm is: named loss terms of one batch. The loop is `worker.train`, the losses `worker.losses`."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from app.algorithms.base import AlgorithmParams
from worker.networks.base import Inputs, Network


@dataclass(slots=True)
class Batch:
    """One step's examples. `target_x` is None for algorithms that need no target; `progress` is p in [0, 1) of this run."""

    source_x: Inputs
    source_y: Tensor
    target_x: Inputs | None
    progress: float


class Algorithm(nn.Module, ABC):
    """Owns the network and whatever else it trains (a discriminator). Returned terms are summed; names become metrics."""

    def __init__(self, network: Network, params: Any, classes: int) -> None:
        super().__init__()
        self.network = network
        self.params: AlgorithmParams = params
        self.classes = classes

    @abstractmethod
    def terms(self, batch: Batch) -> dict[str, Tensor]:
        """Scalar loss terms of this batch, each with its weight applied."""

    def measures(self) -> dict[str, Tensor | float]:
        """What else is worth a curve about the last batch (domain accuracy, lambda), never summed into the loss."""
        return {}

    def source_logits(self, inputs: Inputs) -> Tensor:
        """Logits (n, classes) of source examples, for watching the training; an override may use the source's statistics."""
        logits: Tensor = self.network(inputs)
        return logits

    def parameter_groups(self) -> list[dict[str, Any]]:
        """All weights, with the factor on the learning rate that each group takes; a pretrained encoder's is small."""
        slow = list(self.network.backbone.parameters()) if self.network.pretrained else []
        known = {id(weight) for weight in slow}
        fast = [weight for weight in self.parameters() if id(weight) not in known]
        return [{"params": fast, "factor": 1.0}] + ([{"params": slow, "factor": self.params.backbone_rate}] if slow else [])
