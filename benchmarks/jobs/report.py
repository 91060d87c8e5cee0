"""The medians of a run as a table, with the goals."""

from collections.abc import Sequence
from statistics import median

from benchmarks.jobs.case import Case
from benchmarks.jobs.measure import RATIO, TOTAL
from benchmarks.samples import Samples


def render(cases: Sequence[Case], samples: Samples) -> str:
    """Return a Markdown table with a column for each case, and the goals below it."""
    figures = list(dict.fromkeys(name.partition(": ")[2] for name in samples))
    last = [name for name in figures if name.startswith(("total", "scikit", "ratio"))]
    rows = [name for name in figures if name not in last] + last
    lines = ["| | " + " | ".join(case.name for case in cases) + " |", "|---" * (len(cases) + 1) + "|"]
    for row in rows:
        cells = [_cell(samples.get(f"{case.name}: {row}")) for case in cases]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *_goals(cases, samples)]) + "\n"


def _cell(values: Sequence[float] | None) -> str:
    return "-" if not values else f"{median(values):.2f}"


def _goals(cases: Sequence[Case], samples: Samples) -> list[str]:
    lines = []
    for case in cases:
        for figure, most in ((TOTAL, case.max_seconds), (RATIO, case.max_ratio)):
            values = samples.get(f"{case.name}: {figure}")
            if most is not None and values:
                verdict = "met" if median(values) <= most else "missed"
                lines.append(f"* {case.name}, {figure}: {median(values):.2f}, goal {most}: {verdict}")
    return lines
