"""Simulated networks of a known skill."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from sklearn.datasets import load_digits

from app.algorithms.base import parse_params
from worker.algorithms import plain_method
from worker.estimates.calibrated_outputs import CalibratedOutputs, calibrate_outputs
from worker.estimates.candidate_evidence import CandidateOutputs, TaskFacts, gain_evidence
from worker.estimates.candidate_judgement import CandidateJudgement, judge_candidate
from worker.estimates.domain_gap import domain_gaps
from worker.estimates.reverse_scores import ReverseValidation
from worker.evaluation.outputs import ModelOutputs
from worker.plain.data import PlainData, Rows

EVEN = (0.25, 0.25, 0.25, 0.25)
SKEWED = (0.7, 0.1, 0.1, 0.1)


def network(
    skill: float, *, predicted: np.ndarray | None = None, priors: tuple[float, ...] = EVEN, rows: int = 600
) -> CalibratedOutputs:
    """Return outputs for four classes whose target features point to the class with this skill.

    They point to the true classes, drawn from `priors`, unless `predicted` (rows,) names others.
    """
    random = np.random.default_rng(0)
    source, truth = random.integers(0, 4, rows), random.choice(4, rows, p=priors)
    noise = random.normal(size=(rows, 4))

    def features(labels: np.ndarray, strength: float) -> np.ndarray:
        values: np.ndarray = (strength * np.eye(4)[labels] + noise).astype(np.float32)
        return values

    source_x, target_x = features(source, 5), features(truth if predicted is None else predicted, skill)
    outputs = calibrate_outputs(ModelOutputs(source_x, 2 * source_x, source, target_x, 2 * target_x))
    assert outputs is not None
    return outputs


@dataclass(frozen=True, slots=True)
class DriftedTable:
    """Candidates of a job on a table, by name; the reference is `logistic_regression`. `truth` are the target's labels."""

    facts: TaskFacts
    candidates: dict[str, CandidateOutputs]
    truth: np.ndarray

    def judge(self, name: str) -> CandidateJudgement:
        """Judge a candidate beside all others."""
        others = [one for key, one in self.candidates.items() if key not in (name, REFERENCE)]
        return judge_candidate(gain_evidence(self.candidates[name], self.candidates[REFERENCE], others, self.facts))

    def accuracy(self, name: str) -> float:
        """Return the accuracy on the target."""
        return float((self.candidates[name].predicted == self.truth).mean())


REFERENCE = "logistic_regression"
PLAIN = (REFERENCE, "standardized_logistic_regression", "self_trained_logistic_regression", "coral")


@cache
def drifted_table(drift: float) -> DriftedTable:
    """Return the plain candidates on digits whose columns drift by this many deviations in the target."""
    columns, labels = load_digits(return_X_y=True)
    random = np.random.default_rng(0)
    order = random.permutation(len(labels))
    source, held_out, target = np.split(order, [600, 800])
    moved = columns[target] * np.exp(drift * random.normal(size=64) / 2) + drift * random.normal(size=64) * columns.std(axis=0)
    alignable = np.ones(64, np.bool_)
    data = PlainData(Rows(columns[source]), labels[source], Rows(moved), 10, alignable)
    reverse = ReverseValidation(data)
    candidates = {}
    for name in PLAIN:
        model = plain_method(parse_params({"algorithm": name}))
        fitted = model.fit(data)
        on_source, on_target = fitted.source_probabilities(Rows(columns[held_out])), fitted.target_probabilities(Rows(moved))
        candidates[name] = CandidateOutputs(on_source, on_target, reverse.scores(on_target.argmax(axis=1)))
    facts = TaskFacts(labels[held_out], domain_gaps(data.source, data.target_rows, alignable))
    return DriftedTable(facts, candidates, labels[target])
