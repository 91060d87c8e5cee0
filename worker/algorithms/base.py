"""What an adaptation algorithm is: named loss terms of one batch. The loop is `worker.training.loop`, the losses
`worker.losses`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.algorithms.base import AdaptationParams, AlgorithmParams
from worker.data.batch import Batch
from worker.evaluation.outputs import ModelOutputs
from worker.networks.base import Inputs, Network, batch_norms

Terms = dict[str, Tensor]


@dataclass(slots=True)
class Outputs:
    """Features (n, feature_width) and logits (n, classes) of a batch, in float32."""

    features: Tensor
    logits: Tensor


class Update(Protocol):
    """One update of the weights: computes the terms, and follows the gradient of their sum."""

    def __call__(self, terms: Callable[[], Terms], only: Iterable[nn.Parameter] | None = None) -> Terms:
        """`only` these weights are updated; the terms are returned."""


class Algorithm(nn.Module, ABC):
    """A network and the layers trained with it, such as a discriminator. Returned terms are summed; names become metrics."""

    toy_target_accuracy: ClassVar[float] = 0.85
    """Target accuracy that `test_every_algorithm` requires on its toy problem, beside 10 points more than source-only."""
    adversarial_terms: ClassVar[frozenset[str]] = frozenset()
    """Terms behind a gradient reversal, which the features increase."""

    def __init__(self, network: Network, params: Any, classes: int) -> None:
        super().__init__()
        self.network = network
        self.params: AlgorithmParams = params
        self.classes = classes

    @abstractmethod
    def terms(self, batch: Batch) -> Terms:
        """Scalar loss terms of this batch, each with its weight applied."""

    def step(self, batch: Batch, descend: Update) -> Terms:
        """One step of the run; an override may make several updates. Returns what becomes metrics."""
        return descend(lambda: self.terms(batch))

    def on_evaluation(self, evidence: ModelOutputs) -> None:
        """Called at every check of the run (20 times) with the network's answers to a sample of each domain."""

    def diagnostics(self) -> dict[str, Tensor | float]:
        """What else is worth a curve about the last batch (domain accuracy, lambda), never summed into the loss."""
        return {}

    def compute_outputs(self, inputs: Inputs) -> Outputs:
        """Of one domain's examples."""
        features = self.network.features(inputs)
        return Outputs(features.float(), self.network.head(features).float())

    def classification(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of logits (n, classes) and class numbers (n,)."""
        return F.cross_entropy(logits.float(), labels, label_smoothing=self.params.label_smoothing)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The weights that are not frozen, with the factor on each group's learning rate; a pretrained encoder's is small."""
        slow = list(self.network.backbone.parameters()) if self.network.pretrained else []
        known = {id(weight) for weight in slow}
        slow = [weight for weight in slow if weight.requires_grad]
        fast = [weight for weight in self.parameters() if weight.requires_grad and id(weight) not in known]
        return [{"params": fast, "factor": 1.0}] + ([{"params": slow, "factor": self.params.backbone_lr_factor}] if slow else [])


class JointAdaptation(Algorithm):
    """Classifies the source and, after the warm-up, adds the terms of `adaptation`."""

    params: AdaptationParams

    def terms(self, batch: Batch) -> Terms:
        source, target = self.outputs(batch)
        terms = {"classification": self.classification(source.logits, batch.source_y)}
        progress = (batch.progress - self.params.warmup_fraction) / (1 - self.params.warmup_fraction)
        if progress < 0:
            return terms
        return terms | self.adaptation(source, target, replace(batch, progress=progress))

    @abstractmethod
    def adaptation(self, source: Outputs, target: Outputs, batch: Batch) -> Terms:
        """The terms beside the classification; the batch's progress counts from the end of the warm-up."""

    def outputs(self, batch: Batch) -> tuple[Outputs, Outputs]:
        """Of source and target: forwarded apart, each normalised by its own batch, or as one batch."""
        if self.params.batch_norm == "shared":
            both = self.compute_outputs(
                {name: _concatenate_domains(values, batch.target_x[name]) for name, values in batch.source_x.items()}
            )
            rows = len(batch.source_y)
            return Outputs(both.features[:rows], both.logits[:rows]), Outputs(both.features[rows:], both.logits[rows:])
        with self.network.source_statistics():
            source = self.compute_outputs(batch.source_x)
        return source, self.compute_outputs(batch.target_x)


class SourceFree(Algorithm):
    """Goes on from a trained network with the target alone. Its norms' statistics follow the target; dropout is off."""

    def train(self, mode: bool = True) -> Self:
        super().train(False)
        for norm in batch_norms(self.network):
            norm.train(mode)
        return self


def _concatenate_domains(source: Tensor, target: Tensor) -> Tensor:
    """Source over target; where their lengths (axis 1) differ, as those of texts do, the shorter is padded with zeros."""
    if source.ndim == 2:
        longest = max(source.shape[1], target.shape[1])
        source, target = (F.pad(values, (0, longest - values.shape[1])) for values in (source, target))
    return torch.cat([source, target])
