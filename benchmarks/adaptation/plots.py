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
