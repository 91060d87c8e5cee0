"""What is derived once of a network's evidence and used by everything that is said of it."""

from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from worker.estimates import label_shift
from worker.estimates.calibration import Calibration, calibrate
from worker.estimates.label_shift import ClassPriors
from worker.evaluation.outputs import ModelOutputs, probabilities

Shares = NDArray[np.float64]

SAID, SAID_OF_EQUAL = 0.01, 0.2
FEWEST_SOURCE, FEWEST_TARGET = 2, 8


@dataclass(frozen=True, slots=True)
class ReverseValidation:
    """What a pupil says, a new network that learned the target from the studied one's labels
    (`worker.reporting.reverse_validation`); 0 to 1.

    `accuracy` is its own on the held-out source, `confidence` the mean probability that it gives to the labels of target rows
    that it did not learn from.
    """

    accuracy: float
    confidence: float


@dataclass(frozen=True, slots=True)
class CalibratedOutputs:
    """Evidence and what follows: calibrated probabilities of source (n, classes) and target (m, classes), class priors.

    `critic` is what the disagreement-discrepancy bound says without its sampling error, nan where it says nothing; `reverse`
    None where there is no pupil.
    """

    evidence: ModelOutputs
    calibration: Calibration
    source: Shares
    target: Shares
    priors: ClassPriors
    critic: float = nan
    reverse: ReverseValidation | None = None

    @property
    def is_correct(self) -> NDArray[np.bool_]:
        """Whether the network is right about each row of the held-out source (n,)."""
        correct: NDArray[np.bool_] = self.evidence.source_logits.argmax(axis=1) == self.evidence.source_labels
        return correct

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The class of each target row (m,)."""
        classes: NDArray[np.int64] = self.evidence.target_logits.argmax(axis=1)
        return classes

    @property
    def predicted_shares(self) -> Shares:
        """How much of the target is predicted as each class (classes,)."""
        return np.bincount(self.predicted, minlength=self.evidence.target_logits.shape[1]) / len(self.predicted)

    @property
    def has_collapsed(self) -> bool:
        """Whether at most half of the classes are said."""
        return self.predicted_class_count <= len(self.predicted_shares) / 2

    @property
    def predicted_class_count(self) -> int:
        """How many have at least `least_share` of the target rows."""
        return int((self.predicted_shares >= self.least_share).sum())

    @property
    def least_share(self) -> float:
        """A hundredth, or a fifth of what there would be of equal classes."""
        return min(SAID, SAID_OF_EQUAL / len(self.predicted_shares))


def study(evidence: ModelOutputs, critic: float = nan, reverse: ReverseValidation | None = None) -> CalibratedOutputs | None:
    """None with fewer than FEWEST_SOURCE held-out or FEWEST_TARGET target examples: then nothing can be said of its accuracy."""
    if len(evidence.source_logits) < FEWEST_SOURCE or len(evidence.target_logits) < FEWEST_TARGET:
        return None
    calibration = calibrate(evidence.source_logits, evidence.source_labels)
    source = probabilities(evidence.source_logits, calibration.temperature)
    target = probabilities(evidence.target_logits, calibration.temperature)
    return CalibratedOutputs(
        evidence, calibration, source, target, label_shift.estimate(evidence, source, target), critic, reverse
    )
