"""Intervals of proportions and differences from few labels, with a confidence of 90 %."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.9
_Z = 1.6448536269514722
"""The two-sided quantile of the normal distribution for this confidence."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class StratumCounts:
    """The rows of a stratum, and how many of them were labelled and were right."""

    rows: float
    labelled: int
    correct: int


def stratified_proportion(strata: Sequence[StratumCounts]) -> Interval:
    """Estimate the proportion of correct rows from a sample of each stratum.

    A Wilson interval on the effective sample size. The variance shrinks each stratum towards the whole, because a stratum of
    four labels is often all right or all wrong. Student's quantile and half a row of continuity keep the coverage.
    """
    rows, n, correct = _columns([one for one in strata if one.labelled])
    total, labelled = rows.sum(), n.sum()
    weights = rows / total
    value = float((weights * correct / n).sum())
    overall = (correct.sum() + 1) / (labelled + 2)
    shrunk = (correct + overall) / (n + 1)
    variance = float((weights**2 * shrunk * (1 - shrunk) / n * np.maximum(1 - n / rows, 0)).sum())
    if variance == 0:
        return Interval(value, value, value)
    mean = float((weights * shrunk).sum())
    effective = mean * (1 - mean) / variance
    low, high = _wilson(value, effective, student_quantile(max(labelled - len(rows), 1)))
    slack = 0.5 / total
    least, most = correct.sum() / total, 1 - (n - correct).sum() / total
    return Interval(value, max(low - slack, least, 0.0), min(high + slack, most, 1.0))


def weighted_proportion(correct: NDArray[np.bool_], weights: NDArray[np.float64]) -> Interval:
    """Estimate a proportion from rows that stand for different numbers of rows, as the recall of a class does."""
    value = float(np.average(correct, weights=weights))
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    low, high = _wilson(value, effective, student_quantile(max(len(weights) - 1, 1)))
    return Interval(value, low, high)


def proportion(correct: int, rows: int) -> Interval:
    """Return the Wilson interval of a simple random sample."""
    value = correct / rows
    low, high = _wilson(value, rows, _Z)
    return Interval(value, low, high)


def _wilson(value: float, effective: float, z: float) -> tuple[float, float]:
    spread = z * z / effective
    middle = (value + spread / 2) / (1 + spread)
    half = z * math.sqrt(value * (1 - value) / effective + spread / (4 * effective)) / (1 + spread)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def student_quantile(freedom: float) -> float:
    """Return the two-sided quantile of Student's distribution, by the first terms of its expansion."""
    cube = _Z**3
    return _Z + (cube + _Z) / (4 * freedom) + (5 * _Z**5 + 16 * cube + 3 * _Z) / (96 * freedom**2)


@dataclass(frozen=True, slots=True)
class Differences:
    """The labelled rows of a random sample of the `disputed` rows, on which two models differ, of `rows` in all.

    `better` counts those on which only the first model is right, `worse` those on which only the second one is.
    """

    rows: int
    disputed: int
    labelled: int
    better: int
    worse: int


def gain(differences: Differences) -> Interval:
    """Estimate the difference of the accuracies, from a sample that has one more row of each sign.

    The two rows keep the interval honest while all labels say the same.
    """
    mean, deviation = _moments(differences)
    remaining = max(1 - differences.labelled / differences.disputed, 0.0)
    share = differences.disputed / differences.rows
    if not remaining:
        exact = (differences.better - differences.worse) / differences.rows
        return Interval(exact, exact, exact)
    half = _Z * deviation * math.sqrt(remaining / (differences.labelled + 2))
    return Interval(mean * share, max(mean - half, -1.0) * share, min(mean + half, 1.0) * share)


def labels_to_decide(differences: Differences) -> int:
    """Return how many disputed rows need a label in all until the sign of the gain is known, if the rest looks like these."""
    mean, deviation = _moments(differences)
    everything = differences.disputed
    if mean == 0:
        return everything
    # |mean| = z deviation sqrt((1 - n / N) / (n + 2)), solved for n
    ratio = (_Z * deviation / mean) ** 2
    needed = (ratio - 2) / (1 + ratio / everything)
    return min(everything, max(differences.labelled + 1, math.ceil(needed)))


def _moments(differences: Differences) -> tuple[float, float]:
    """Return mean and standard deviation of the differences with the two added rows."""
    size = differences.labelled + 2
    mean = (differences.better - differences.worse) / size
    square = (differences.better + differences.worse + 2) / size
    return mean, math.sqrt(max(square - mean**2, 0.0) * size / (size - 1))


def paired_difference(rows: int, better: int, worse: int) -> Interval:
    """Estimate the difference of two accuracies on the same rows; half a row is added to each kind (Agresti and Min, 2005)."""
    size = rows + 2
    first, second = better + 0.5, worse + 0.5
    mean = (first - second) / size
    half = _Z * math.sqrt(max(first + second - (first - second) ** 2 / size, 0.0)) / size
    value = (better - worse) / rows
    return Interval(value, max(min(mean - half, value), -1.0), min(max(mean + half, value), 1.0))


def mcnemar(better: int, worse: int) -> float:
    """Return the two-sided p-value of the exact test that two models are equally accurate (McNemar, 1947)."""
    decisive, smaller = better + worse, min(better, worse)
    if not decisive:
        return 1.0
    logs = [_log_binomial(decisive, k) - decisive * math.log(2) for k in range(smaller + 1)]
    return min(1.0, 2 * math.fsum(map(math.exp, logs)))


def _log_binomial(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _columns(strata: Sequence[StratumCounts]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    table = np.array([(one.rows, one.labelled, one.correct) for one in strata], np.float64)
    return table[:, 0], table[:, 1], table[:, 2]
