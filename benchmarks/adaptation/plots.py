"""Plots of the report."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.figure import Figure

from benchmarks.adaptation.figures import TASK, Measurements, by_method

mpl.use("agg")
MAX_GAIN = 30
"""Percentage points at the ends of the colour scale."""


def gains(measured: Measurements, path: Path) -> None:
    """Plot the gain of each method over source-only on each task, in percentage points."""
    gain = 100 * (pl.col("chosen_accuracy") - pl.col("source_only_accuracy"))
    name = pl.col("task") + pl.when("skewed").then(pl.lit(", skewed")).otherwise(pl.lit(""))
    rows = by_method(measured).filter(pl.col("arm") != "source_only").select(*TASK, "arm", gain.alias("gain"), name.alias("name"))
    if rows.is_empty():
        return
    wide = rows.sort(*TASK, "arm").pivot("name", index="arm", values="gain", maintain_order=True)
    numbers = wide.drop("arm").to_numpy().astype(np.float64)
    figure = Figure(figsize=(3 + 0.7 * numbers.shape[1], 2.5 + 0.35 * len(numbers)), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(numbers, cmap="RdBu", vmin=-MAX_GAIN, vmax=MAX_GAIN, aspect="auto")
    axes.set_xticks(range(numbers.shape[1]), wide.columns[1:], rotation=60, ha="right")
    axes.set_yticks(range(len(numbers)), wide["arm"].to_list())
    for (row, column), value in np.ndenumerate(numbers):
        if not np.isnan(value):
            axes.text(column, row, f"{value:+.0f}", ha="center", va="center", fontsize=8)
    axes.set_title("Points gained over source-only")
    figure.savefig(path, dpi=120)


def estimates(errors: pl.DataFrame, path: Path) -> None:
    """Plot the estimates with their intervals over the true accuracy, one colour per task."""
    ways = [way for way in errors["way"].unique(maintain_order=True) if not way.endswith("alone")]
    figure = Figure(figsize=(6 * len(ways), 6), layout="constrained")
    for number, way in enumerate(ways, start=1):
        axes = figure.add_subplot(1, len(ways), number)
        for (task,), rows in errors.filter(pl.col("way") == way).group_by("task", maintain_order=True):
            truth, value = 100 * rows["truth"].to_numpy(), 100 * rows["value"].to_numpy()
            below, above = value - 100 * rows["low"].to_numpy(), 100 * rows["high"].to_numpy() - value
            axes.errorbar(truth, value, np.maximum([below, above], 0), fmt="o", markersize=3, linewidth=0.5, label=str(task))
        axes.plot([0, 100], [0, 100], color="black", linewidth=0.5)
        axes.set(xlabel="accuracy on the target, %", ylabel="estimate, %", title=way)
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=120)
