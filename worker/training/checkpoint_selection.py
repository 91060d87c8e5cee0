"""Selection of a run's result among its evaluated networks, and detection of a collapse. No target label is used.

At every evaluation the accuracy on the held-out source is measured. Chance is the accuracy of always predicting the most common
class. The margin is the distance of the best accuracy so far from chance.

A checkpoint is *healthy* if its accuracy has dropped by at most 15 % of the margin. Where two standard errors of the best are
more, they are allowed. The result is the healthy checkpoint with the best score of the job's validator; the newest of equals.
Without a target there is no score, and the newest healthy checkpoint is selected. The best accuracy does not decide: an
adversarial run pays for its alignment with a little source accuracy, and its best network is usually not adapted yet. If a
later evaluation raises the best accuracy, an earlier checkpoint may fall below the tolerance; it is then discarded. Without a
source every checkpoint is healthy.

A run has *collapsed* if the accuracy has dropped by 75 % of the margin, and the best was clearly above chance (four standard
errors). It is warned about once, and stopped after `MAX_COLLAPSED_EVALUATIONS` such evaluations in a row. Accuracies are from 0
to 1.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from worker.evaluation.statistics import binomial_standard_error

MAX_COLLAPSED_EVALUATIONS = 5
_STATE_FIELDS = (
    "best",
    "step",
    "accuracy",
    "score",
    "weights",
    "collapsed_in_a_row",
    "ever_collapsed",
    "evaluations_without_improvement",
)


@dataclass(slots=True)
class EvaluationOutcome:
    """The result of one evaluation."""

    accuracy: float
    healthy: bool
    collapsed: bool


class CheckpointSelector:
    """Keeps the best healthy network of a run."""

    def __init__(self, labels: NDArray[np.int64]) -> None:
        """Take the labels (n,) of the held-out source; without any, every checkpoint is healthy."""
        self._examples = len(labels)
        self._chance = float(np.bincount(labels).max()) / len(labels) if len(labels) else 0.0
        self.best = 0.0
        self.step = 0
        self.accuracy = 0.0
        self.score = -math.inf
        self.weights: dict[str, Tensor] = {}
        self.collapsed_in_a_row = 0
        self.ever_collapsed = False
        self.evaluations_without_improvement = 0

    def update(self, step: int, accuracy: float, score: float, weights: dict[str, Tensor]) -> EvaluationOutcome:
        """Judge the network after `step` and copy its weights if it is the best.

        A score of nan counts as 0; the accuracy, if there is one, then decides whether the run still improves.
        """
        improves, self.best = not accuracy <= self.best, max(self.best, accuracy)
        outcome = EvaluationOutcome(accuracy, self._is_healthy(accuracy), self._is_collapsed(accuracy))
        if not self._is_healthy(self.accuracy):
            self.score = -math.inf
        improved = improves if math.isnan(score) else outcome.healthy and score > self.score
        score = 0.0 if math.isnan(score) else score
        if outcome.healthy and score >= self.score:
            self.step, self.accuracy, self.score = step, accuracy, score
            self.weights = {name: value.detach().to("cpu", copy=True) for name, value in weights.items()}
        self.evaluations_without_improvement = 0 if improved else self.evaluations_without_improvement + 1
        self.collapsed_in_a_row = self.collapsed_in_a_row + 1 if outcome.collapsed else 0
        self.ever_collapsed |= outcome.collapsed
        return outcome

    @property
    def has_collapsed_for_good(self) -> bool:
        """Return whether the run should be stopped because it does not recover."""
        return self.collapsed_in_a_row >= MAX_COLLAPSED_EVALUATIONS

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {name: getattr(self, name) for name in _STATE_FIELDS}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        for name, value in state.items():
            setattr(self, name, value)

    def _is_healthy(self, accuracy: float) -> bool:
        if not self._examples:
            return True
        allowed = max(0.15 * (self.best - self._chance), 2 * binomial_standard_error(self.best, self._examples))
        return accuracy >= self.best - allowed

    def _is_collapsed(self, accuracy: float) -> bool:
        if not self._examples:
            return False
        learned = self.best - self._chance > 4 * binomial_standard_error(self._chance, self._examples)
        return learned and accuracy < self._chance + 0.25 * (self.best - self._chance)
