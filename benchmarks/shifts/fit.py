"""Fits of the coefficients in `worker/estimates/coefficients`, and predictions for datasets that took no part."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.shifts.bounded_models import Problem
from benchmarks.shifts.cases import Case, Evidence
from worker.estimates.accuracy_estimate import value_and_error
from worker.estimates.candidate_judgement import MIN_DIFFERENCE, CandidateJudgement, judge_candidate
from worker.estimates.fitted_model import (
    ACCURACY_FILES,
    FOLDER,
    JUDGEMENT_FILES,
    MAX_DEVIATIONS,
    AccuracyCoefficients,
    Head,
    JudgementCoefficients,
    Origin,
    Scale,
)

FOLDS = 8
OTHERS = "others_"
"""Start of the names of evidence from further candidates."""
RIDGE, ERROR_RIDGE, INVERSE_REGULARIZATION = 30.0, 300.0, 0.05
IN_FAVOUR = ("reverse_", "clipped_reverse_", "others_", "neighbours_")
"""Evidence that can only speak for a candidate: its weights are not negative, which keeps the models sane far from the data."""
LARGE_LOSS = 0.03
MAX_GAIN = 0.3
"""Larger gains and losses count as this: their exact size decides nothing."""
MIN_YES_RIGHT, MIN_NO_RIGHT, MAX_LOSSES, MAX_LARGE_LOSSES = 0.94, 0.86, 0.03, 0.01
"""Aims on the data of the fit, above the targets for other datasets: the predictions for these are a little worse."""

COVERAGE = 0.93
"""Coverage of the intervals on the data of the fit."""

Floats = NDArray[np.float64]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Judged:
    """A case and its judgement by coefficients that were fitted to other datasets."""

    case: Case
    judgement: CandidateJudgement


def held_out(cases: Sequence[Case], fit: Callable[[list[Case]], T]) -> Iterable[tuple[T, list[Case]]]:
    """Yield coefficients and the cases of the datasets that took no part in fitting them, in FOLDS parts."""
    families = np.unique([case.family for case in cases])
    order = np.random.default_rng(0).permutation(families)
    for part in range(min(FOLDS, len(families))):
        left_out = set(order[part::FOLDS].tolist())
        yield fit([case for case in cases if case.family not in left_out]), [case for case in cases if case.family in left_out]


def alone(cases: Sequence[Case]) -> list[Case]:
    """Return the cases as those of jobs without further candidates."""

    def without_others(terms: Evidence) -> Evidence:
        return {name: value for name, value in terms.items() if not name.startswith(OTHERS)}

    return [
        replace(case, gain_terms=without_others(case.gain_terms), accuracy_terms=without_others(case.accuracy_terms))
        for case in cases
    ]


def fit_judgement(cases: Sequence[Case]) -> JudgementCoefficients:
    """Fit the models of the gain, and choose the probabilities on datasets left out of their fit."""
    cases = [case for case in cases if not case.is_reference]
    judged = [
        Judged(case, judge_candidate(case.gain_terms, fitted)) for fitted, others in held_out(cases, _fit_gain) for case in others
    ]
    gain = np.array([one.judgement.probability_of_gain for one in judged])
    truth = np.array([one.case.gain for one in judged])
    many = np.array([one.case.classes > 2 for one in judged])
    return _fit_gain(cases).model_copy(
        update={
            "min_yes_probability": (_least_yes(gain[~many], truth[~many]), _least_yes(gain[many], truth[many])),
            "max_no_probability": 1 - _least(1 - gain, truth <= MIN_DIFFERENCE / 2, MIN_NO_RIGHT),
            "max_loss_probability": _largest_risk(judged),
        }
    )


def _fit_gain(cases: Sequence[Case]) -> JudgementCoefficients:
    matrix, scales = _standardised([case.gain_terms for case in cases])
    gain, weights = np.array([case.gain for case in cases]), _weights(cases)
    signs = np.array([float(name.startswith(IN_FAVOUR)) for name in scales])
    problem = Problem(matrix, weights)
    return JudgementCoefficients(
        origin=origin(cases),
        scales=scales,
        expected_gain=_head(scales, problem.ridge(np.clip(gain, -MAX_GAIN, MAX_GAIN), RIDGE, signs)),
        gain=_head(scales, problem.logistic(gain > MIN_DIFFERENCE, INVERSE_REGULARIZATION, signs)),
        loss=_head(scales, problem.logistic(gain < -MIN_DIFFERENCE, INVERSE_REGULARIZATION, -signs)),
        min_yes_probability=(0.9, 0.9),
        max_no_probability=0.1,
        max_loss_probability=0.2,
    )


def _least_yes(probability: Floats, truth: Floats) -> float:
    return _least(probability, truth > MIN_DIFFERENCE / 2, MIN_YES_RIGHT)


def _least(probability: Floats, is_right: NDArray[np.bool_], aim: float) -> float:
    """Return the least probability from which at least the fraction `aim` is right."""
    order = np.argsort(-probability)
    right = np.cumsum(is_right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero((right >= aim) & (np.arange(len(order)) >= 20))
    return round(float(probability[order[enough[-1]]]) if len(enough) else 0.95, 3)


def _largest_risk(judged: Sequence[Judged]) -> float:
    """Return the largest probability of a loss with which the selection keeps the limits of losses."""
    for risk in np.arange(0.5, 0.02, -0.01):
        gains = np.array([one.case.gain if one else 0.0 for one in chosen(judged, float(risk)).values()])
        if (gains < -MIN_DIFFERENCE).mean() <= MAX_LOSSES and (gains < -LARGE_LOSS).mean() <= MAX_LARGE_LOSSES:
            return round(float(risk), 3)
    return 0.02


def chosen(judged: Sequence[Judged], max_risk: float | None = None) -> dict[str, Judged | None]:
    """Return the candidate that a search serves in each record, None for the reference."""
    records: dict[str, Judged | None] = {one.case.record: None for one in judged}
    for one in judged:
        best, judgement = records[one.case.record], one.judgement
        is_safe = judgement.is_safe if max_risk is None else judgement.probability_of_loss <= max_risk
        expected = best.judgement.expected_gain if best else 0.0
        if is_safe and judgement.expected_gain > expected:
            records[one.case.record] = one
    return records


def fit_accuracy(cases: Sequence[Case]) -> AccuracyCoefficients:
    """Fit the estimate of the accuracy, and the reach of its interval on datasets left out of the fit.

    The reach of a modality is at least that of all data: six datasets of texts alone do not determine it.
    """
    ratios: dict[str, list[float]] = {}
    for fitted, others in held_out(cases, _fit_accuracy):
        for case in others:
            value, error = value_and_error(case.accuracy_terms, fitted)
            ratios.setdefault(case.shift.dataset.modality, []).append((case.accuracy - value) / error)
    pooled = _reach(np.concatenate([np.array(values) for values in ratios.values()]))
    own = {name: _reach(np.array(values)) for name, values in ratios.items()}
    reach = {name: (max(pooled[0], below), max(pooled[1], above)) for name, (below, above) in own.items()}
    return _fit_accuracy(cases).model_copy(update={"reach": reach})


def _reach(ratios: Floats) -> tuple[float, float]:
    low, high = np.quantile(ratios, ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2))
    return round(max(0.0, -float(low)), 3), round(max(0.0, float(high)), 3)


def _fit_accuracy(cases: Sequence[Case]) -> AccuracyCoefficients:
    matrix, scales = _standardised([case.accuracy_terms for case in cases])
    truth, problem = np.array([case.accuracy for case in cases]), Problem(matrix, _weights(cases))
    free = np.zeros(len(scales))
    solution = problem.ridge(truth, RIDGE, free)
    errors = np.abs(problem.values(solution) - truth)
    return AccuracyCoefficients(
        origin=origin(cases),
        scales=scales,
        accuracy=_head(scales, solution),
        error=_head(scales, problem.ridge(errors, ERROR_RIDGE, free)),
        reach={},
    )


def _standardised(evidence: Sequence[dict[str, float]]) -> tuple[Floats, dict[str, Scale]]:
    names = list(evidence[0])
    matrix = np.array([[one[name] for name in names] for one in evidence])
    mean, deviation = np.nanmean(matrix, axis=0), np.nanstd(matrix, axis=0) + 1e-6
    scales = {name: Scale(mean=float(m), deviation=float(d)) for name, m, d in zip(names, mean, deviation, strict=True)}
    return np.nan_to_num((matrix - mean) / deviation).clip(-MAX_DEVIATIONS, MAX_DEVIATIONS), scales


def _head(scales: dict[str, Scale], solution: Floats) -> Head:
    weights = dict(zip(scales, solution[:-1].round(5).tolist(), strict=True))
    return Head(intercept=round(float(solution[-1]), 5), weights=weights)


def _weights(cases: Sequence[Case]) -> Floats:
    """Return weights (n,) with mean 1 that count every dataset by the square root of its cases."""
    _, index, counts = np.unique([case.family for case in cases], return_inverse=True, return_counts=True)
    weights: Floats = 1 / np.sqrt(counts[index])
    weights /= weights.mean()
    return weights


def origin(cases: Sequence[Case]) -> Origin:
    """Return the origin of coefficients that are fitted to these cases."""
    digest = hashlib.sha256(repr([(case.record, case.name, round(case.gain, 4)) for case in cases]).encode()).hexdigest()[:16]
    return Origin(
        date=datetime.now(UTC).date().isoformat(),
        digest=digest,
        datasets=len({case.shift.dataset.name for case in cases}),
        shifts=len({case.shift.key for case in cases}),
        rows=len(cases),
    )


def write(cases: Sequence[Case]) -> None:
    """Fit all coefficients to the cases and write their files."""
    FOLDER.mkdir(exist_ok=True)
    for judgement, accuracy, some in zip(JUDGEMENT_FILES, ACCURACY_FILES, (cases, alone(cases)), strict=True):
        (FOLDER / judgement).write_text(fit_judgement(some).model_dump_json(indent=1) + "\n")
        (FOLDER / accuracy).write_text(fit_accuracy(some).model_dump_json(indent=1) + "\n")
