"""The interface of adaptation algorithms: named loss terms of one batch. Losses are in `worker.losses`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.algorithms.base import AdaptationParams, AlgorithmParams, LinearModelParams, TreeModelParams
from worker.data.batch import Batch
from worker.evaluation.outputs import ModelOutputs
from worker.networks.base import Inputs, Network, batch_norms
from worker.plain.data import PlainData
from worker.plain.linear import LinearOptions
from worker.plain.models import PlainModel
from worker.plain.trees import TreeOptions

Terms = dict[str, Tensor]


@dataclass(slots=True)
class Outputs:
    """Features (n, feature_width) and logits (n, classes) of a batch, in float32."""

    features: Tensor
    logits: Tensor


class Update(Protocol):
    """One optimizer step on the sum of the terms."""

    def __call__(self, terms: Callable[[], Terms], only: Iterable[nn.Parameter] | None = None) -> Terms:
        """Compute the terms, update all weights or `only` these, and return the terms."""


class Algorithm(nn.Module, ABC):
    """A network and the layers trained with it, such as a discriminator. Terms are summed; their names become metrics."""

    toy_target_accuracy: ClassVar[float] = 0.85
    """Target accuracy that `test_algorithm_contract` requires on its toy problem, beside 10 points more than source-only."""
    adversarial_terms: ClassVar[frozenset[str]] = frozenset()
    """Terms behind a gradient reversal, which the features increase."""

    def __init__(self, network: Network, params: Any, classes: int) -> None:
        super().__init__()
        self.network = network
        self.params: AlgorithmParams = params
        self.classes = classes

    @abstractmethod
    def terms(self, batch: Batch) -> Terms:
        """Compute the weighted scalar loss terms of this batch."""

    def step(self, batch: Batch, descend: Update) -> Terms:
        """Run one training step and return its terms as metrics. An override may make several updates."""
        return descend(lambda: self.terms(batch))

    def on_evaluation(self, outputs: ModelOutputs) -> None:
        """Handle an evaluation of the run (20 in total) with the network's outputs for a sample of each domain."""

    def diagnostics(self) -> dict[str, Tensor | float]:
        """Return further metrics of the last batch (domain accuracy, lambda), which are not part of the loss."""
        return {}

    def compute_outputs(self, inputs: Inputs) -> Outputs:
        """Compute features and logits of a batch."""
        features = self.network.features(inputs)
        return Outputs(features.float(), self.network.head(features).float())

    def classification(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Compute the cross-entropy of logits (n, classes) and class indices (n,)."""
        return F.cross_entropy(logits.float(), labels, label_smoothing=self.params.label_smoothing)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the trainable weights with the learning-rate factor of each group, small for a pretrained encoder."""
        slow = list(self.network.backbone.parameters()) if self.network.pretrained else []
        slow_ids = {id(weight) for weight in slow}
        slow = [weight for weight in slow if weight.requires_grad]
        fast = [weight for weight in self.parameters() if weight.requires_grad and id(weight) not in slow_ids]
        return [{"params": fast, "factor": 1.0}] + ([{"params": slow, "factor": self.params.backbone_lr_factor}] if slow else [])


class JointAdaptation(Algorithm):
    """Classification of the source, plus the terms of `adaptation` after the warm-up."""

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
        """Compute the terms beside the classification. The batch's progress counts from the end of the warm-up."""

    def outputs(self, batch: Batch) -> tuple[Outputs, Outputs]:
        """Compute the outputs of source and target, normalised separately or as one batch."""
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
    """Adaptation of a trained network to the target only. Batch-norm statistics follow the target; dropout is off."""

    def train(self, mode: bool = True) -> Self:
        super().train(False)
        for norm in batch_norms(self.network):
            norm.train(mode)
        return self


class PlainMethod(ABC):
    """A method that scikit-learn fits at once, in place of gradient steps."""

    toy_target_accuracy: ClassVar[float] = 0.8
    """Target accuracy that `tests/worker/plain/test_methods.py` requires on its toy problem."""

    def __init__(self, params: Any) -> None:
        self.params: AlgorithmParams = params

    @abstractmethod
    def fit(self, data: PlainData) -> PlainModel:
        """Fit the model on the training rows of the source, and on the target."""


class LinearMethod(PlainMethod):
    """A method that ends with a logistic regression."""

    params: LinearModelParams

    @property
    def options(self) -> LinearOptions:
        """The options of its regressions."""
        return LinearOptions(self.params.inverse_regularization, self.params.class_balanced)


class TreeMethod(PlainMethod):
    """A method that ends with boosted trees."""

    params: TreeModelParams

    @property
    def options(self) -> TreeOptions:
        """The options of its trees."""
        return TreeOptions(
            learning_rate=self.params.learning_rate, class_balanced=self.params.class_balanced, seed=self.params.seed
        )


def _concatenate_domains(source: Tensor, target: Tensor) -> Tensor:
    """Stack source and target, padding the shorter one with zeros along axis 1 (texts)."""
    if source.ndim == 2:
        longest = max(source.shape[1], target.shape[1])
        source, target = (F.pad(values, (0, longest - values.shape[1])) for values in (source, target))
    return torch.cat([source, target])
