"""Predictions for cases whose whole dataset took no part in the fit, and their figures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from benchmarks.shifts import fit
from benchmarks.shifts.cases import Case
from benchmarks.shifts.fit import Judged
from worker.estimates.accuracy_estimate import AccuracyEstimate, estimate_accuracy
from worker.estimates.candidate_judgement import MIN_DIFFERENCE, judge_candidate
from worker.estimates.fitted_model import JudgementCoefficients

LARGE_DIFFERENCE = 0.03


@dataclass(frozen=True, slots=True)
class Estimated:
    """A case and its estimate."""

    case: Case
    estimate: AccuracyEstimate

    @property
    def is_covered(self) -> bool:
        """Return whether the interval contains the accuracy."""
        return self.estimate.low <= self.case.accuracy <= self.estimate.high


def judged_by_others(cases: Sequence[Case]) -> list[Judged]:
    """Return the judgements by coefficients, and decisions, that were fitted to other datasets."""
    return [judged for fitted, others in fit.held_out(cases, fit.fit_judgement) for judged in judge(others, fitted)]


def judge(cases: Sequence[Case], fitted: JudgementCoefficients) -> list[Judged]:
    """Return the judgements of all candidates but the references."""
    return [Judged(case, judge_candidate(case.gain_terms, fitted)) for case in cases if not case.is_reference]


def estimated_by_others(cases: Sequence[Case]) -> list[Estimated]:
    """Return the estimates by coefficients that were fitted to other datasets."""
    return [
        Estimated(case, estimate_accuracy(case.accuracy_terms, case.shift.dataset.modality, fitted))
        for fitted, others in fit.held_out(cases, fit.fit_accuracy)
        for case in others
    ]


def verdict_row(judged: Sequence[Judged]) -> dict[str, float]:
    """Return how often `yes` and `no` are right and given."""
    gain, helped = np.array([one.case.gain for one in judged]), np.array([one.judgement.helped for one in judged])
    yes, no, large = helped == "yes", helped == "no", np.abs(gain) > LARGE_DIFFERENCE
    return {
        "candidates": len(judged),
        "yes": int(yes.sum()),
        "yes_right": _mean(gain[yes] > 0),
        "yes_clear": _mean(gain[yes] > MIN_DIFFERENCE),
        "no": int(no.sum()),
        "no_right": _mean(gain[no] <= 0),
        "no_clear": _mean(gain[no] <= MIN_DIFFERENCE),
        "definite": _mean((yes | no)[large]),
    }


def selection_row(judged: Sequence[Judged]) -> dict[str, float]:
    """Return the gain of the selection over the reference, of the best candidate and of the best single candidate."""
    chosen = fit.chosen(judged)
    gain = np.array([one.case.gain if one else 0.0 for one in chosen.values()])
    balanced = np.array([one.case.balanced_gain if one else 0.0 for one in chosen.values()])
    table = pl.DataFrame(
        {
            "record": [one.case.record for one in judged],
            "name": [one.case.name for one in judged],
            "gain": [one.case.gain for one in judged],
        }
    )
    best = table.group_by("record").agg(pl.col("gain").max().clip(0))["gain"].mean()
    singles = table.group_by("name").agg(pl.col("gain").sum() / len(chosen))
    return {
        "records": len(chosen),
        "adapted": _mean(np.array([one is not None for one in chosen.values()])),
        "selected": float(gain.mean()),
        "balanced": float(balanced.mean()),
        "best_single": max(0.0, float(singles["gain"].max())),  # type: ignore[arg-type]
        "best": float(best),  # type: ignore[arg-type]
        "lost_1": _mean(gain < -MIN_DIFFERENCE),
        "lost_3": _mean(gain < -LARGE_DIFFERENCE),
        "worst": float(gain.min()),
    }


def estimate_row(estimated: Sequence[Estimated]) -> dict[str, float]:
    """Return mean absolute error, bias, coverage and mean half width of the intervals."""
    error = np.array([one.estimate.value - one.case.accuracy for one in estimated])
    return {
        "candidates": len(estimated),
        "error": float(np.abs(error).mean()),
        "bias": float(error.mean()),
        "covered": _mean(np.array([one.is_covered for one in estimated])),
        "half_width": float(np.mean([one.estimate.high - one.estimate.low for one in estimated]) / 2),
    }


def _mean(values: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> float:
    return float(values.mean()) if len(values) else float("nan")
