"""Report of the measurements as Markdown and plots: `python -m benchmarks.adaptation.report`."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.adaptation import figures, plots
from benchmarks.adaptation.figures import SETTING, TASK, Measurements
from benchmarks.adaptation.store import Store

Columns = dict[str, tuple[str, Callable[[Any], str]]]


def percent(value: float | None) -> str:
    """Format a percentage with one digit, or nothing for None."""
    return "" if value is None else f"{100 * value:.1f}"


def signed(value: float | None) -> str:
    return "" if value is None else f"{100 * value:+.1f}"


def number(value: float) -> str:
    return f"{value:.2f}"


METHODS: Columns = {
    "arm": ("method", str),
    "seeds": ("seeds", str),
    "source_only_accuracy": ("source-only", percent),
    "last_accuracy": ("last", percent),
    "chosen_accuracy": ("chosen", percent),
    "oracle_accuracy": ("oracle", percent),
    "worst_seed": ("worst seed", percent),
    "worst_gain": ("worst gain", signed),
    "source_accuracy": ("source, held out", percent),
    "collapsed": ("collapsed", str),
    "seconds": ("seconds", lambda value: f"{value:.0f}"),
}
OVERALL: Columns = {
    "arm": ("method", str),
    "runs": ("runs", str),
    "gain": ("gain over source-only", signed),
    "oracle_gain": ("by the oracle", signed),
    "worst_gain": ("worst gain", signed),
    "harmed": ("more than a point worse, % of runs", percent),
    "collapsed": ("collapsed", str),
}
VALIDATORS: Columns = {
    "validator": ("validator", str),
    "spearman_within": ("Spearman within runs", number),
    "lost_within": ("lost within runs", percent),
    "worst_within": ("worst", percent),
    "spearman_pooled": ("Spearman over methods", number),
}
AUTOMATIC: Columns = {
    "settings": ("settings", str),
    "truth": ("chosen", percent),
    "oracle": ("oracle", percent),
    "lost": ("lost", percent),
    "worst_lost": ("worst lost", percent),
    "gain": ("gain over source-only", signed),
    "worst_gain": ("worst gain", signed),
}
SELECTED: Columns = {
    "seed": ("seed", str),
    "arm": ("picked", str),
    "truth": ("chosen", percent),
    "oracle": ("oracle", percent),
    "lost": ("lost", percent),
    "gain": ("gain", signed),
}
TASK_COLUMNS: Columns = {"task": ("task", str), "skewed": ("target", lambda value: "skewed" if value else "full")}
FAILED: Columns = {"arm": ("method", str), "seed": ("seed", str), "error": ("why", lambda value: " ".join(value.split())[:200])}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adaptation.report", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("var/adaptation"))
    folder: Path = parser.parse_args().folder
    Store(folder).merge()
    measured = Measurements.from_tables(pl.read_parquet(folder / "runs.parquet"), pl.read_parquet(folder / "checks.parquet"))
    parts = [*methods(measured), *validators(measured)]
    text = "\n\n".join([*parts, *failures(measured)]) + "\n"
    (folder / "report.md").write_text(text)
    plots.gains(measured, folder / "methods.png")
    sys.stdout.write(text)


def methods(measured: Measurements) -> list[str]:
    """Return one table per task."""
    parts = ["# Methods and validators", "Accuracies on labelled target data, in percent.", "## Methods"]
    for (task, skewed), group in figures.by_method(measured).group_by(*TASK, maintain_order=True):
        parts += [f"### {task}{', skewed target' if skewed else ''}", table(group, METHODS)]
    return [*parts, "### All tasks", table(figures.overall(measured), OVERALL)]


def validators(measured: Measurements) -> list[str]:
    """Return the tables of validators: how well they rank networks, and the choice of `auto` with each."""
    chosen = figures.simulate_auto(measured)
    parts = ["## Validators", table(figures.by_validator(measured), VALIDATORS)]
    if chosen.is_empty():
        return parts
    names: Columns = {"validator": ("validator", str)}
    overall = figures.summary(chosen, ["validator"])
    best = overall["validator"][0]
    picked = chosen.filter(pl.col("validator") == best).sort(*SETTING)
    return [
        *parts,
        "## auto, from the recorded networks of all methods",
        table(overall, names | AUTOMATIC),
        f"By `{best}`:",
        table(picked, TASK_COLUMNS | SELECTED),
    ]


def failures(measured: Measurements) -> list[str]:
    if measured.failed.is_empty():
        return []
    return ["## Failed runs", table(measured.failed, TASK_COLUMNS | FAILED)]


def table(rows: pl.DataFrame, columns: Columns) -> str:
    """Return a Markdown table of these columns."""
    lines = [[head for head, _ in columns.values()], ["---"] * len(columns)]
    lines += [[show(row[name]) for name, (_, show) in columns.items()] for row in rows.to_dicts()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
