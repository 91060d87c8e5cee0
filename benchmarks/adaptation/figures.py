"""Statistics of methods, validators and `auto` as Polars tables, with accuracies from 0 to 1.

A *setting* is a task, original or skewed, with a seed. Networks of one setting were trained on the same examples. An *arm* is
a method or a named variant of it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import spearmanr

from app.validators import VALIDATORS
from worker.search.successive_halving import MAX_SOURCE_ACCURACY_DROP
from worker.training.trials import BASELINE

TASK = ("task", "skewed")
SETTING = (*TASK, "seed")
ARM = (
    pl.when(pl.col("variant") == "")
    .then(pl.col("method"))
    .otherwise(pl.format("{} ({})", pl.col("method"), pl.col("variant")))
    .alias("arm")
)
TRUTH = "target_accuracy"

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Measurements:
    """Return the successful runs with their arms, their checks, and the failed runs."""

    runs: pl.DataFrame
    checks: pl.DataFrame
    failed: pl.DataFrame

    @classmethod
    def from_tables(cls, runs: pl.DataFrame, checks: pl.DataFrame) -> "Measurements":
        runs, checks = runs.with_columns(ARM), checks.with_columns(ARM)
        return cls(runs.filter(pl.col("error").is_null()), checks, runs.filter(pl.col("error").is_not_null()))


def by_method(measured: Measurements) -> pl.DataFrame:
    """Return means over the seeds, the worst seed and the worst loss against source-only, by task and arm."""
    gain = pl.col("chosen_accuracy") - pl.col("source_only_accuracy")
    return (
        measured.runs.group_by(*TASK, "arm", maintain_order=True)
        .agg(
            pl.len().alias("seeds"),
            pl.col("source_only_accuracy", "last_accuracy", "chosen_accuracy", "oracle_accuracy").mean(),
            pl.col("chosen_accuracy").min().alias("worst_seed"),
            gain.min().alias("worst_gain"),
            pl.col("collapsed").sum(),
            pl.col("source_accuracy", "seconds").mean(),
        )
        .sort(*TASK, "chosen_accuracy", descending=[False, False, True])
    )


def overall(measured: Measurements) -> pl.DataFrame:
    """Return the gain over source-only, the gain with the oracle, and the fraction of losses, by arm."""
    gain = pl.col("chosen_accuracy") - pl.col("source_only_accuracy")
    return (
        measured.runs.filter(pl.col("method") != BASELINE)
        .group_by("arm", maintain_order=True)
        .agg(
            pl.len().alias("runs"),
            gain.mean().alias("gain"),
            (pl.col("oracle_accuracy") - pl.col("source_only_accuracy")).mean().alias("oracle_gain"),
            gain.min().alias("worst_gain"),
            (gain < -0.01).mean().alias("harmed"),
            pl.col("collapsed").sum(),
        )
        .sort("gain", descending=True)
    )


def by_validator(measured: Measurements) -> pl.DataFrame:
    """Return Spearman correlation and accuracy loss of each validator, within runs and within settings."""
    adapted = measured.runs.filter(pl.col("method") != BASELINE)
    within = [group for _, group in measured.checks.filter(pl.col("method") != BASELINE).group_by("key")]
    pooled = [group for _, group in measured.checks.group_by(*SETTING)]
    rows = []
    for name in VALIDATORS:
        lost = adapted["oracle_accuracy"] - adapted[f"chosen_{name}"]
        rows.append(
            {
                "validator": name,
                "spearman_within": _mean(correlation(group, name) for group in within),
                "spearman_pooled": _mean(correlation(group, name) for group in pooled),
                "lost_within": lost.mean(),
                "worst_within": lost.max(),
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def correlation(checks: pl.DataFrame, validator: str) -> float:
    """Compute Spearman's correlation: 0 for a constant score, nan if it is undefined."""
    score, truth = checks[validator].to_numpy(), checks[TRUTH].to_numpy()
    is_defined = ~np.isnan(score)
    if is_defined.sum() < 3 or np.ptp(truth[is_defined]) == 0:
        return math.nan
    return float(spearmanr(score[is_defined], truth[is_defined]).statistic) if np.ptp(score[is_defined]) > 0 else 0.0


def simulate_auto(measured: Measurements) -> pl.DataFrame:
    """Return the choice of `auto` among all arms of each setting, by validator and by the truth (`oracle`)."""
    sizes = measured.runs.select("key", "held_out_rows")
    rows = []
    for setting, group in measured.checks.join(sizes, on="key").sort("step").group_by(*SETTING, maintain_order=True):
        reference = group.filter(pl.col("method") == BASELINE).tail(1)
        adapted = group.filter(pl.col("method") != BASELINE)
        if reference.is_empty() or adapted.is_empty():
            continue
        oracle = float(np.max([group[TRUTH].max()]))
        for name in VALIDATORS:
            selected = select_check(adapted, reference, name)
            rows.append(
                dict(zip(SETTING, setting, strict=True))
                | {"validator": name, "arm": selected["arm"], "truth": selected[TRUTH]}
                | {"lost": oracle - selected[TRUTH], "gain": selected[TRUTH] - reference[TRUTH].item(), "oracle": oracle}
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def select_check(adapted: pl.DataFrame, reference: pl.DataFrame, validator: str) -> dict[str, Any]:
    """Return the check with the best score whose source accuracy is close to the reference's, as in a search."""
    baseline, rows = reference["source_accuracy"].item(), reference["held_out_rows"].item()
    allowed = max(MAX_SOURCE_ACCURACY_DROP, 2 * math.sqrt(baseline * (1 - baseline) / rows))
    able = adapted.filter(pl.col("healthy"), pl.col("source_accuracy") >= baseline - allowed, pl.col(validator).is_not_nan())
    best = able.filter(pl.col(validator) == pl.col(validator).max()).tail(1)
    if best.is_empty() or not best[validator].item() > reference[validator].item():
        best = reference
    return best.row(0, named=True)


def _mean(values: Iterator[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan


def summary(table: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Return mean and worst loss of `auto` against the oracle, and its gain over source-only."""
    return (
        table.group_by(*keys, maintain_order=True)
        .agg(
            pl.len().alias("settings"),
            pl.col("truth", "oracle").mean(),
            pl.col("lost").mean(),
            pl.col("lost").max().alias("worst_lost"),
            pl.col("gain").mean(),
            pl.col("gain").min().alias("worst_gain"),
        )
        .sort("lost")
    )
