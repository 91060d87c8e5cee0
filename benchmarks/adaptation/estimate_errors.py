"""Quality of the estimated target accuracy, with the shipped constants and with constants fitted to the other tasks."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.estimates.fit import NetworkRows, Row, fit, read
from worker.estimates.accuracy_estimate import FITTED, FittedCoefficients, estimate_accuracy

MIN_TASKS = 3
"""Minimum number of tasks: the fit leaves one of the remaining tasks out again."""
SINGLE_ESTIMATORS = ("difference_of_confidences", "thresholded_confidence", "average_confidence")


def estimate_errors(path: Path) -> pl.DataFrame:
    """Return estimate, interval and true accuracy for each network of the file and each set of constants."""
    rows = read(path)
    ways = [pl.DataFrame(list(_combined(rows, "shipped constants", FITTED)), infer_schema_length=None)]
    ways += [pl.DataFrame(list(_single(rows, name)), infer_schema_length=None) for name in SINGLE_ESTIMATORS]
    names = np.unique(rows.task)
    if len(names) >= MIN_TASKS:
        for task in names:
            fitted = fit(rows.where(rows.task != task))
            ways.append(pl.DataFrame(list(_combined(rows.where(rows.task == task), "fitted to the other tasks", fitted))))
    return pl.concat(ways, how="diagonal_relaxed")


def summarize_errors(table: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Compute mean absolute error, bias, coverage of the 90 % interval and its mean half width."""
    error = pl.col("value") - pl.col("truth")
    return (
        table.group_by(keys, maintain_order=True)
        .agg(
            pl.len().alias("networks"),
            error.abs().mean().alias("error"),
            error.mean().alias("bias"),
            pl.col("truth").is_between("low", "high").mean().alias("covered"),
            ((pl.col("high") - pl.col("low")) / 2).mean().alias("half_width"),
        )
        .sort(keys)
    )


def _combined(rows: NetworkRows, way: str, constants: FittedCoefficients) -> Iterator[dict[str, object]]:
    for parts, known in _networks(rows):
        result = estimate_accuracy(parts, constants)
        yield known | {"way": way, "value": result.value, "low": result.low, "high": result.high}


def _single(rows: NetworkRows, part: str) -> Iterator[dict[str, object]]:
    for parts, group in _networks(rows):
        yield group | {"way": f"{part} alone", "value": parts[part], "low": None, "high": None}


def _networks(rows: NetworkRows) -> Iterator[tuple[Row, dict[str, object]]]:
    for parts, task, skewed, truth in zip(rows.estimators, rows.task, rows.skewed, rows.truth, strict=True):
        yield parts, {"task": str(task), "skewed": bool(skewed), "truth": float(truth)}
