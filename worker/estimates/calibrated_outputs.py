"""Quantities derived once from a network's outputs and used by all estimates."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.estimates.calibration import Calibration, calibrate
from worker.estimates.label_shift import ClassPriors, estimate_class_priors
from worker.estimates.reverse_scores import UNTESTED, ReverseScores
from worker.evaluation.outputs import ModelOutputs, probabilities

Probabilities = NDArray[np.float64]

MAX_RARE_PROPORTION, RARE_FRACTION_OF_UNIFORM = 0.01, 0.2
MIN_SOURCE_ROWS, MIN_TARGET_ROWS = 5, 10


@dataclass(frozen=True, slots=True)
class CalibratedOutputs:
    """Outputs with calibrated probabilities of the source (n, classes) and target (m, classes), and class priors.

    `reverse` are tests of the target predictions on the rows of the job.
    """

    outputs: ModelOutputs
    calibration: Calibration
    source_probabilities: Probabilities
    target_probabilities: Probabilities
    priors: ClassPriors
    reverse: ReverseScores = UNTESTED

    @property
    def is_correct(self) -> NDArray[np.bool_]:
        """Correctness of each held-out source row (n,)."""
        correct: NDArray[np.bool_] = self.outputs.source_logits.argmax(axis=1) == self.outputs.source_labels
        return correct

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Predicted class of each target row (m,)."""
        classes: NDArray[np.int64] = self.outputs.target_logits.argmax(axis=1)
        return classes

    @property
    def predicted_proportions(self) -> Probabilities:
        """Proportion of the target rows predicted as each class (classes,)."""
        return np.bincount(self.predicted, minlength=self.outputs.target_logits.shape[1]) / len(self.predicted)

    @property
    def has_collapsed(self) -> bool:
        """Return whether the network predicts at most half of the classes."""
        return self.predicted_class_count <= len(self.predicted_proportions) / 2

    @property
    def predicted_class_count(self) -> int:
        """Number of classes that have at least `min_class_proportion` of the predictions."""
        return int((self.predicted_proportions >= self.min_class_proportion).sum())

    @property
    def min_class_proportion(self) -> float:
        """Smallest proportion that counts as predicted: 0.01, or a fifth of the uniform proportion if that is less."""
        return min(MAX_RARE_PROPORTION, RARE_FRACTION_OF_UNIFORM / len(self.predicted_proportions))


def calibrate_outputs(outputs: ModelOutputs, reverse: ReverseScores = UNTESTED) -> CalibratedOutputs | None:
    """Return the derived quantities, or None with fewer than MIN_SOURCE_ROWS held-out or MIN_TARGET_ROWS target rows."""
    if len(outputs.source_logits) < MIN_SOURCE_ROWS or len(outputs.target_logits) < MIN_TARGET_ROWS:
        return None
    calibration = calibrate(outputs.source_logits, outputs.source_labels)
    source = probabilities(outputs.source_logits, calibration.temperature)
    target = probabilities(outputs.target_logits, calibration.temperature)
    return CalibratedOutputs(outputs, calibration, source, target, estimate_class_priors(outputs, source, target), reverse)
