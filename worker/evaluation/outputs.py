"""What is known of a network without a label of the target: what validators and estimates are computed from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.serving.probabilities import softmax

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class MixupOutputs:
    """Logits (p, classes) of mixtures of pairs of target inputs: `share` of row `first` (p,), the rest of row `second` (p,)."""

    logits: Float32Array
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    weight: float


@dataclass(frozen=True, slots=True)
class ModelOutputs:
    """A network's answers to n held-out source examples and m target examples, d features each, in evaluation mode.

    `mixed` is None where inputs cannot be mixed (token ids, categories).
    """

    source_features: Float32Array
    source_logits: Float32Array
    source_labels: NDArray[np.int64]
    target_features: Float32Array
    target_logits: Float32Array
    mixup: MixupOutputs | None = None

    @property
    def finiteness_check(self) -> list[float]:
        """Of features and logits: finite where all of them are."""
        parts = self.source_features, self.source_logits, self.target_features, self.target_logits
        return [float(values.sum(dtype=np.float64)) for values in parts]

    @property
    def source_probabilities(self) -> NDArray[np.float64]:
        """(n, classes)"""
        return probabilities(self.source_logits)

    @property
    def target_probabilities(self) -> NDArray[np.float64]:
        """(m, classes)"""
        return probabilities(self.target_logits)


def probabilities(logits: Float32Array, temperature: float = 1.0) -> NDArray[np.float64]:
    """Softmax of logits (n, classes) over the temperature."""
    return softmax(logits.astype(np.float64) / temperature)
