"""The results as Markdown: a table per kind of request, the goals, and the findings of the other cases."""

import json
import os
import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.serving.results import ALONE, HELLO, Cell, Measured, Results

TITLES = {"lenet": "LeNet, 28 x 28 grey", "mlp": "MLP, 100 numbers", "image": "ResNet, 224 x 224 colour", "text": "TF-IDF MLP"}
HEAD = ("server", "CPU µs", "x hello", "requests/s", "p50 ms", "p99 ms", "failed")
MARGINS: tuple[tuple[str, int, str, str, float], ...] = (
    ("lenet", 1, "json", HELLO, 1.3),
    ("mlp", 1, "json", HELLO, 0.8),
    ("lenet", 1, "binary", HELLO, 0.8),
    ("mlp", 1, "binary", HELLO, 0.65),
    ("lenet", 64, "json", "plain", 0.75),
    ("lenet", 64, "binary", ALONE, 1.2),
)
"""Subject, samples, format, server to compare with, and maximum ratio of CPU times."""


def conditions(seconds: int, rounds: int) -> dict[str, Any]:
    """Return time, machine and versions of the measurement."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    libraries = {name: version(name) for name in ("fastapi", "uvicorn", "onnxruntime", "numpy")}
    return {
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "processor": f"{names[0] if names else platform.machine()}, {len(names)} cores",
        "load average at the start": round(os.getloadavg()[0], 2),
        "seconds": seconds,
        "rounds": rounds,
        "python": platform.python_version(),
        **libraries,
    }


def render(results: Results) -> str:
    """Render the whole report."""
    sections = [*_conditions(results), *_tables(results), *_goals(results), *_findings(results)]
    return "\n\n".join(sections) + "\n"


class Best:
    """The summary of the rounds of one cell and server: the lowest CPU time, the median of all else."""

    def __init__(self, rounds: Sequence[Measured]) -> None:
        self.cpu_us = min(one.cpu_us for one in rounds)
        self.rate = median(one.rate for one in rounds)
        self.p50_ms = median(one.p50_ms for one in rounds)
        self.p99_ms = median(one.p99_ms for one in rounds)
        self.failed = sum(one.failed for one in rounds)


def best(results: Results, server: str, cell: Cell) -> Best | None:
    rounds = [one for one in results.measured if (one.server, one.cell) == (server, cell)]
    return Best(rounds) if rounds else None


def base(results: Results, server: str, cell: Cell) -> Best | None:
    """Return the result a cell is compared with. The baselines have one cell for all formats."""
    if server == HELLO:
        return best(results, HELLO, Cell(cell.subject, cell.samples, "get", cell.connections))
    if server == ALONE:
        return best(results, ALONE, Cell(cell.subject, cell.samples, "arrays", 0))
    return best(results, server, cell)


def ratio(results: Results, server: str, cell: Cell, other: str) -> float | None:
    """Return the ratio of CPU times of two servers in the same cell."""
    ours, theirs = base(results, server, cell), base(results, other, cell)
    return ours.cpu_us / theirs.cpu_us if ours and theirs else None


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(value) for value in line) + " |" for line in lines)


def _conditions(results: Results) -> Iterator[str]:
    conditions = results.findings.get("conditions", {})
    yield ", ".join(f"{name} {value}" for name, value in conditions.items())
    for name in ("not started", "not measured"):
        for reason in results.findings.get(name, {}).get("reasons", ()):
            yield f"{name}: {' '.join(reason.split())}"


def _tables(results: Results) -> Iterator[str]:
    cells = [one.cell for one in results.measured if one.server not in (HELLO, ALONE)]
    for subject, samples, format in dict.fromkeys((cell.subject, cell.samples, cell.format) for cell in cells):
        connections = sorted({cell.connections for cell in cells if cell.subject == subject})
        same = [Cell(subject, samples, format, count) for count in connections]
        servers = dict.fromkeys((HELLO, ALONE, *(one.server for one in results.measured if one.cell in same)))
        rows = [row for server in servers if (row := _row(results, server, same))]
        title = f"{TITLES[subject]}, {samples} a request, {format}, {' / '.join(map(str, connections))} connections"
        yield f"**{title}**\n\n{table(HEAD, rows)}"


def _row(results: Results, server: str, cells: Sequence[Cell]) -> list[str]:
    """Return the table row of one server, with its figures per number of connections."""
    lines = [base(results, server, cell) for cell in (cells[:1] if server == ALONE else cells)]
    if not any(lines):
        return []
    times_hello = [ratio(results, server, cell, HELLO) for cell in cells[: len(lines)]]
    columns = [
        [f"{one.cpu_us:.0f}" if one else "-" for one in lines],
        [f"{times:.2f}" if times else "-" for times in times_hello],
        [f"{one.rate:.0f}" if one else "-" for one in lines],
        [f"{one.p50_ms:.2f}" if one else "-" for one in lines],
        [f"{one.p99_ms:.2f}" if one else "-" for one in lines],
    ]
    return [f"`{server}`", *(" / ".join(column) for column in columns), str(sum(one.failed for one in lines if one))]


def _goals(results: Results) -> Iterator[str]:
    connections = sorted({one.cell.connections for one in results.measured if one.server == "isthmus"})
    rows = []
    for subject, samples, format, other, most in MARGINS:
        cells = [Cell(subject, samples, format, count) for count in connections]
        ratios = [times for cell in cells if (times := ratio(results, "isthmus", cell, other))]
        if ratios:
            verdict = "met" if max(ratios) <= most else "missed"
            figures = " / ".join(f"{times:.2f}" for times in ratios)
            rows.append((f"{TITLES[subject]}, {samples}, {format}", f"{most} x {other}", figures, verdict))
    slower = list(_slower(results))
    if rows:
        yield f"**CPU time per request, goals**\n\n{table(('request', 'goal', 'measured', ''), rows)}"
        yield f"p99 above a peer's at 8 or 32 connections: {', '.join(slower) or 'nowhere'}."


def _slower(results: Results) -> Iterator[str]:
    """Return the cells in which a peer has a better p99."""
    for cell in dict.fromkeys(one.cell for one in results.measured if one.server == "isthmus" and one.cell.connections >= 8):
        ours = best(results, "isthmus", cell)
        for server in dict.fromkeys(one.server for one in results.measured):
            theirs = best(results, server, cell) if server not in (HELLO, ALONE, "isthmus", "plain") else None
            if ours and theirs and ours.p99_ms >= theirs.p99_ms:
                yield f"{cell.subject} {cell.samples} {cell.format} {cell.connections} ({server})"


def _findings(results: Results) -> Iterator[str]:
    for name, finding in results.findings.items():
        if name not in ("conditions", "not started", "not measured"):
            yield f"**{name}**\n\n{_lines(finding)}"


def _lines(finding: dict[str, Any]) -> str:
    return "\n".join(f"* {name}: {json.dumps(value)}" for name, value in finding.items())
