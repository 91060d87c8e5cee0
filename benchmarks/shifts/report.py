"""The tables and the calibration plot of the fit, as Markdown and SVG."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import isnan
from pathlib import Path
from typing import TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.shifts.cases import Case
from benchmarks.shifts.fit import Judged, chosen, fit_judgement
from benchmarks.shifts.judged import Estimated, estimate_row, judge, selection_row, verdict_row

mpl.use("agg")
mpl.rcParams |= {"svg.hashsalt": "isthmus", "svg.fonttype": "none"}
MODALITIES = {"tabular": "tables", "text": "texts", "image": "images", "series": "signals"}
BINS = 8
COLOUR = "#1f5fa8"

T = TypeVar("T", Judged, Estimated)
Row = Mapping[str, float]
Columns = dict[str, tuple[str, Callable[[float], str]]]


def count(value: float) -> str:
    return f"{value:.0f}"


def percent(value: float) -> str:
    return "-" if isnan(value) else f"{100 * value:.0f}"


def points(value: float) -> str:
    return f"{100 * value:+.1f}"


def size(value: float) -> str:
    return f"{100 * value:.1f}"


VERDICTS: Columns = {
    "candidates": ("candidates", count),
    "yes": ("`yes`", count),
    "yes_right": ("of these gains, %", percent),
    "yes_clear": ("gains of more than 1 point, %", percent),
    "no": ("`no`", count),
    "no_right": ("of these not gains, %", percent),
    "no_clear": ("no gain of more than 1 point, %", percent),
    "definite": ("definite where the difference exceeds 3 points, %", percent),
}
SELECTIONS: Columns = {
    "records": ("shifts", count),
    "adapted": ("adapted, %", percent),
    "selected": ("gain", points),
    "balanced": ("gain in balanced accuracy", points),
    "best_single": ("best single candidate", points),
    "best": ("best candidate of each shift", points),
    "lost_1": ("loss of more than 1 point, %", size),
    "lost_3": ("of more than 3 points, %", size),
    "worst": ("worst", points),
}
ESTIMATES: Columns = {
    "candidates": ("candidates", count),
    "error": ("mean error, points", size),
    "bias": ("bias", points),
    "covered": ("covered, %", percent),
    "half_width": ("half width, points", size),
}


def text(judged: Sequence[Judged], alone: Sequence[Judged], estimated: Sequence[Estimated]) -> str:
    """Return all tables."""
    return "\n\n".join(
        [
            "### `helped`, with further candidates\n",
            table(parts(judged, verdict_row), VERDICTS),
            "### `helped`, without further candidates\n",
            table(parts(alone, verdict_row), VERDICTS),
            "### Selection of `auto` among the plain candidates\n",
            table(parts(judged, selection_row), SELECTIONS),
            "### Estimate of the target accuracy\n",
            table(parts(estimated, estimate_row), ESTIMATES),
        ]
    )


def parts(rows: Sequence[T], figures: Callable[[Sequence[T]], Row]) -> dict[str, Row]:
    """Return the figures of all cases, of each modality, and of two and of more classes."""
    conditions: dict[str, Callable[[Case], bool]] = {"all": lambda case: True}
    for modality, name in MODALITIES.items():
        conditions[name] = partial(_is_of, modality)
    conditions |= {"two classes": lambda case: case.classes == 2, "more classes": lambda case: case.classes > 2}
    chosen = {name: [row for row in rows if holds(row.case)] for name, holds in conditions.items()}
    return {name: figures(some) for name, some in chosen.items() if some}


def _is_of(modality: str, case: Case) -> bool:
    return case.shift.dataset.modality == modality


def table(rows: Mapping[str, Row], columns: Columns) -> str:
    """Return a Markdown table with a line for each part."""
    lines = [["data", *(head for head, _ in columns.values())], ["---"] * (len(columns) + 1)]
    lines += [[name, *(show(row[key]) for key, (_, show) in columns.items())] for name, row in rows.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def tasks(judging: Sequence[Case], cases: Sequence[Case]) -> str:
    """Return what would be served on the tasks that took no part in the fit, by coefficients of all other cases."""
    judged = judge(judging, fit_judgement(cases))
    lines = ["| task | reference | served | gain | `helped` | best candidate |", "|---|---|---|---|---|---|"]
    for record, served in chosen(judged).items():
        own = [case for case in judging if case.record == record]
        reference = next(case for case in own if case.is_reference)
        case, helped = (served.case, served.judgement.helped) if served else (reference, "no")
        best = max(own, key=lambda one: one.accuracy)
        shown = [f"{one.name} {100 * one.accuracy:.1f}" for one in (reference, case, best)]
        lines.append(f"| {record} | {shown[0]} | {shown[1]} | {points(case.gain)} | {helped} | {shown[2]} |")
    return "### Tasks that took no part in the fit\n\n" + "\n".join(lines)


def plot(judged: Sequence[Judged], estimated: Sequence[Estimated], path: Path) -> None:
    """Plot stated against observed probabilities of a gain, and estimated against true accuracies."""
    figure = Figure(figsize=(8, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    _calibration(left, judged)
    _accuracies(right, estimated)
    figure.savefig(path, format="svg", metadata={"Date": None})


def _calibration(axes: Axes, judged: Sequence[Judged]) -> None:
    stated = np.array([one.judgement.probability_of_gain for one in judged])
    true = np.array([one.case.gain > 0.01 for one in judged])
    order = np.array_split(np.argsort(stated), BINS)
    shares = np.array([true[part].mean() for part in order])
    errors = [1.64 * np.sqrt(max(share * (1 - share), 0.01) / len(part)) for share, part in zip(shares, order, strict=True)]
    axes.errorbar([stated[part].mean() for part in order], shares, errors, fmt="o", color=COLOUR, capsize=2)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.7)
    axes.set(xlabel="stated probability of a gain", ylabel="observed frequency", title="Gains of more than one point")


def _accuracies(axes: Axes, estimated: Sequence[Estimated]) -> None:
    value = np.array([100 * one.estimate.value for one in estimated])
    truth = np.array([100 * one.case.accuracy for one in estimated])
    order = np.array_split(np.argsort(value), BINS)
    middle = [np.median(value[part]) for part in order]
    for low, high, alpha in ((5, 95, 0.2), (25, 75, 0.35)):
        ends = np.array([np.percentile(truth[part], (low, high)) for part in order])
        axes.fill_between(
            middle, ends[:, 0], ends[:, 1], color=COLOUR, alpha=alpha, linewidth=0, label=f"{high - low} % of the truths"
        )
    axes.plot([20, 100], [20, 100], color="grey", linewidth=0.7)
    axes.set(xlabel="estimated accuracy, %", ylabel="true accuracy, %", title="Target accuracy")
    axes.legend(loc="upper left", fontsize=8)
