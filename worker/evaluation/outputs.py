"""Outputs of a network on both domains: the input of all validators and estimates."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.serving.probabilities import softmax

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class MixupOutputs:
    """Logits (p, classes) of mixtures of target inputs: `weight` of row `first` (p,) and 1 - `weight` of row `second` (p,)."""

    logits: Float32Array
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    weight: float


@dataclass(frozen=True, slots=True)
class LabelledPredictions:
    """Class numbers (n,) of labelled examples, their predicted classes (n,), and the confidence (n,) of the predictions."""

    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float64]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Return which predictions are right (n,)."""
        return np.asarray(self.predicted == self.labels)


@dataclass(frozen=True, slots=True)
class ModelOutputs:
    """Features (d) and logits of n held-out source examples and m target examples, in evaluation mode.

    `mixup` is None if inputs cannot be mixed (token ids, categories).
    """

    source_features: Float32Array
    source_logits: Float32Array
    source_labels: NDArray[np.int64]
    target_features: Float32Array
    target_logits: Float32Array
    mixup: MixupOutputs | None = None

    @property
    def finiteness_check(self) -> list[float]:
        """Sums of features and logits, which are finite if all values are."""
        arrays = self.source_features, self.source_logits, self.target_features, self.target_logits
        return [float(values.sum(dtype=np.float64)) for values in arrays]

    @property
    def source_probabilities(self) -> NDArray[np.float64]:
        """Source probabilities (n, classes)."""
        return probabilities(self.source_logits)

    @property
    def target_probabilities(self) -> NDArray[np.float64]:
        """Target probabilities (m, classes)."""
        return probabilities(self.target_logits)


def probabilities(logits: Float32Array, temperature: float = 1.0) -> NDArray[np.float64]:
    """Return the softmax of logits (n, classes) divided by the temperature."""
    return softmax(logits.astype(np.float64) / temperature)
