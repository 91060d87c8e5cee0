"""Which of a run's networks becomes its result, and whether the run collapsed. No label of the target is ever looked at.

At every check the accuracy on the held-out part of the source is measured. Chance is what always answering the commonest
class would reach there; the best accuracy so far lies some way above it.

*Healthy* is a check whose accuracy has lost at most 15 % of that way, or two standard errors of the best if that is more.
The result is the network of the healthy check with the best score of the job's validator, the newest of equals; where there
is no target, and so no score, simply the newest. Not the one with the best accuracy: an adversarial run pays for its
alignment with a little accuracy on the source, and the best on the source is usually the one that is not adapted yet. A
network that a later best leaves too far behind is healthy no more, and dropped.
Where there is no source, every check is healthy.

*Collapsed* is a check that has lost 75 % of the way, in a run whose best was clearly above chance (four standard errors).
Such a run is warned about once, and given up after `PATIENCE` such checks in a row. Accuracies are from 0 to 1.
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
    """What one check saw."""

    accuracy: float
    healthy: bool
    collapsed: bool


class CheckpointSelector:
    """Remembers the best healthy network."""

    def __init__(self, labels: NDArray[np.int64]) -> None:
        """`labels` (n,) of the examples that accuracies are measured on; none: no check is unhealthy."""
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
        """Judge the network after `step`; its weights are copied when it is the best.

        A score that is nan counts as 0; whether the run still gets better is then told by the accuracy, if there is one.
        """
        learns, self.best = not accuracy <= self.best, max(self.best, accuracy)
        check = EvaluationOutcome(accuracy, self._is_healthy(accuracy), self._is_collapsed(accuracy))
        if not self._is_healthy(self.accuracy):
            self.score = -math.inf
        better = learns if math.isnan(score) else check.healthy and score > self.score
        score = 0.0 if math.isnan(score) else score
        if check.healthy and score >= self.score:
            self.step, self.accuracy, self.score = step, accuracy, score
            self.weights = {name: value.detach().to("cpu", copy=True) for name, value in weights.items()}
        self.evaluations_without_improvement = 0 if better else self.evaluations_without_improvement + 1
        self.collapsed_in_a_row = self.collapsed_in_a_row + 1 if check.collapsed else 0
        self.ever_collapsed |= check.collapsed
        return check

    @property
    def has_collapsed_for_good(self) -> bool:
        return self.collapsed_in_a_row >= MAX_COLLAPSED_EVALUATIONS

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _STATE_FIELDS}

    def load_state_dict(self, state: dict[str, Any]) -> None:
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
