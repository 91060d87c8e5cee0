"""Fit the constants of `worker.estimates.accuracy_estimate.FITTED` and report their errors.

Usage: `python -m benchmarks.estimates.fit FILE...`
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pprint import pformat

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

from worker.estimates.accuracy_estimate import (
    FittedCoefficients,
    adjustments,
    combined_value,
    estimate_accuracy,
    lowest_estimate,
    uncertainty,
    uncertainty_terms,
)
from worker.estimates.estimators import ESTIMATORS

FIT_RIDGE = 5.0
MIN_FIT_ERROR = 0.02
REWEIGHTING_ROUNDS = 15
MIN_COEFFICIENTS = {"always": 0.005, "shifted": 0.01}
"""Smallest uncertainty weights: an interval is never empty, and always wider under label shift."""
TARGET_COVERAGE = 0.9
COLUMNS = ("task", "skewed", "target_accuracy", *ESTIMATORS)

Numbers = NDArray[np.float64]
Row = dict[str, float]


@dataclass(frozen=True)
class NetworkRows:
    """Estimator values of networks, their true accuracies (n,) and their tasks (n,)."""

    estimators: list[Row]
    truth: Numbers
    task: NDArray[np.str_]
    skewed: NDArray[np.bool_]

    @property
    def data(self) -> NDArray[np.str_]:
        """Data of each task (n,): `a-b-more` is `a-b` with another network or drift and is left out with it."""
        return np.array(["-".join(name.split("-")[:2]) for name in self.task])

    def where(self, chosen: NDArray[np.bool_]) -> "NetworkRows":
        parts = [row for row, wanted in zip(self.estimators, chosen, strict=True) if wanted]
        return NetworkRows(parts, self.truth[chosen], self.task[chosen], self.skewed[chosen])


def read(*paths: Path) -> NetworkRows:
    """Read the files of `benchmarks.adaptation`; a missing number is NaN."""
    table = pl.concat([pl.read_parquet(path).select(COLUMNS) for path in paths], how="vertical_relaxed")
    table = table.drop_nulls("target_accuracy")
    table = table.with_columns(pl.col(ESTIMATORS).cast(pl.Float64).fill_null(float("nan")))
    table = table.drop_nans("difference_of_confidences")
    return NetworkRows(
        table.select(ESTIMATORS).to_dicts(),
        table["target_accuracy"].to_numpy().astype(np.float64),
        table["task"].to_numpy().astype(str),
        table["skewed"].to_numpy().astype(bool),
    )


def fit(rows: NetworkRows) -> FittedCoefficients:
    """Fit the weights to all rows, and the interval factors to errors on data left out in turn."""
    weights, doubts = _regressions(rows)
    ratios = []
    for data in np.unique(rows.data):
        left_out = rows.where(rows.data == data)
        fitted = FittedCoefficients(*_regressions(rows.where(rows.data != data)), below=1.0, above=1.0)
        ratios.append(_errors(left_out, fitted) / _uncertainties(left_out, fitted))
    every, tail = np.concatenate(ratios), (1 - TARGET_COVERAGE) / 2
    low, high = np.quantile(every, (tail, 1 - tail))
    return FittedCoefficients(weights, doubts, below=max(0.0, float(-low)), above=max(0.0, float(high)))


def cross_validate(rows: NetworkRows) -> pl.DataFrame:
    """Return error, coverage and half width of each network, with constants fitted to the other data."""
    found = []
    for data in np.unique(rows.data):
        fitted, left_out = fit(rows.where(rows.data != data)), rows.where(rows.data == data)
        for row, truth, task, skewed in zip(left_out.estimators, left_out.truth, left_out.task, left_out.skewed, strict=True):
            result = estimate_accuracy(row, fitted)
            inside = result.low <= truth <= result.high
            error = abs(result.value - truth)
            found.append(
                {"task": task, "skewed": skewed, "error": error, "covered": inside, "width": (result.high - result.low) / 2}
            )
    return pl.DataFrame(found)


def _regressions(rows: NetworkRows) -> tuple[dict[str, float], dict[str, float]]:
    moves = [adjustments(row) for row in rows.estimators]
    weights = _regression(moves, rows.truth - np.array([lowest_estimate(row) for row in rows.estimators]), rows.task, upper=1.0)
    weighted = FittedCoefficients(weights, {}, 0.0, 0.0)
    why = [uncertainty_terms(row, combined_value(row, weighted)) for row in rows.estimators]
    return weights, _regression(why, np.abs(_errors(rows, weighted)), rows.task, upper=np.inf, least=MIN_COEFFICIENTS)


def _regression(
    columns: list[Row], wanted: Numbers, task: NDArray[np.str_], *, upper: float, least: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Return coefficients, each from its minimum to `upper`, with the least absolute errors to the values `wanted` (n,).

    Uses re-weighted least squares; every task has the same total weight.
    """
    names = list(columns[0])
    matrix = np.array([[row[name] for name in names] for row in columns])
    low = np.array([(least or {}).get(name, 0.0) for name in names])
    _, number, counts = np.unique(task, return_inverse=True, return_counts=True)
    errors = np.ones(len(wanted))
    for _ in range(REWEIGHTING_ROUNDS):
        share = 1 / np.sqrt(np.sqrt(counts[number]) * np.maximum(errors, MIN_FIT_ERROR))
        left = np.vstack([matrix * share[:, None], np.sqrt(FIT_RIDGE) * np.eye(len(names))])
        solution = lsq_linear(left, np.concatenate([wanted * share, np.zeros(len(names))]), (low, upper)).x
        errors = np.abs(wanted - matrix @ solution)
    return {name: round(float(value), 3) for name, value in zip(names, solution, strict=True)}


def _errors(rows: NetworkRows, fitted: FittedCoefficients) -> Numbers:
    """Return truth minus estimate (n,)."""
    return rows.truth - np.array([combined_value(row, fitted) for row in rows.estimators], np.float64)


def _uncertainties(rows: NetworkRows, fitted: FittedCoefficients) -> Numbers:
    return np.array([uncertainty(row, combined_value(row, fitted), fitted) for row in rows.estimators], np.float64)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("files", nargs="+", type=Path, metavar="FILE", help="networks.parquet, auto.parquet")
    rows = read(*arguments.parse_args().files)
    predicted = cross_validate(rows)
    figures = [pl.len().alias("networks"), pl.col("error").mean(), pl.col("covered").mean(), pl.col("width").mean()]
    with pl.Config(tbl_rows=-1):
        by_task = str(predicted.group_by("task", "skewed").agg(figures).sort("task", "skewed"))
    sys.stdout.write(f"{pformat(fit(rows))}\n{by_task}\n{predicted.select(figures)}\n")


if __name__ == "__main__":
    main()
