"""Servers by networks, samples, formats and connections, in interleaved rounds."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np

from benchmarks.serving.dialects import Dialect, Request
from benchmarks.serving.load import wrk
from benchmarks.serving.results import ALONE, HELLO, Cell, Measured, Results
from benchmarks.serving.servers import PROGRAMS, ROOT, Machine, Running
from benchmarks.serving.subjects import Subject

TOLERANCE = 1e-4
WARM_UP_REQUESTS = 30


class WrongResponseError(Exception):
    """A server rejected a request, or its response differs from ONNX Runtime's output on the same graph."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Number and length of rounds, and whether to measure the networks alone."""

    cells: Sequence[Cell]
    rounds: int
    seconds: int
    with_alone: bool


def cells(subjects: Sequence[str], samples: Sequence[int], formats: Sequence[str], connections: Sequence[int]) -> list[Cell]:
    """Return the cells in measuring order, so that compared measurements are close in time."""
    return [
        Cell(subject, count, format, connected)
        for subject in subjects
        for count in samples
        for connected in connections
        for format in formats
    ]


def run(plan: Plan, running: Sequence[Running], subjects: Mapping[str, Subject], machine: Machine, results: Results) -> None:
    """Check one response per cell, then measure the correct cells that have no results yet."""
    wrong = _rejected_kinds(plan.cells, running, subjects, results)
    for server in running:
        server.pause()
    for number in range(1, plan.rounds + 1):
        for cell in plan.cells:
            sys.stderr.write(f"round {number}: {cell}\n")
            for server, spoken, request in _supporting(running, cell, subjects, wrong):
                if not results.has(server.server.name, spoken, number):
                    results.add(_measure(server, spoken, request, number, plan.seconds, machine.client_core))
            own = Cell(cell.subject, cell.samples, "arrays", 0)
            if plan.with_alone and not results.has(ALONE, own, number):
                results.add(_alone(subjects[cell.subject], cell.samples, number, plan.seconds, machine))


Kind = tuple[str, str, int, str]
"""Server, subject, samples, format."""


def _rejected_kinds(
    cells: Sequence[Cell], running: Sequence[Running], subjects: Mapping[str, Subject], results: Results
) -> dict[Kind, str]:
    """Record the cells that are not measured, with reasons."""
    wrong = {}
    for subject, samples, format in dict.fromkeys((cell.subject, cell.samples, cell.format) for cell in cells):
        for server in running:
            if not server.server.speaks(subject, format):
                continue
            try:
                check(server, server.server.dialects[format], subjects[subject], samples)
            except WrongResponseError as error:
                wrong[server.server.name, subject, samples, format] = str(error)
    if wrong:
        results.find("not measured", {"reasons": sorted(set(wrong.values()))})
    return wrong


def check(running: Running, dialect: Dialect, subject: Subject, samples: int) -> None:
    """Raise WrongResponseError if a probability differs by more than 1e-4."""
    answers = dialect.read(_ask(running, dialect.ask(subject, samples)), subject)
    expected = subject.probabilities(samples)
    if len(answers) != samples:
        raise WrongResponseError(f"{running.server.name} gives {len(answers)} answers to {samples} samples of {subject.name}")
    for row, answer in enumerate(answers):
        off = max(abs(expected[row, number] - probability) for number, probability in answer.items())
        if not off <= TOLERANCE:
            raise WrongResponseError(f"{running.server.name} is off by {off:.1e} in sample {row} of {subject.name}")


def _ask(running: Running, request: Request) -> bytes:
    method = "POST" if request.body else "GET"
    answer = httpx.request(method, running.url + request.path, content=request.body, headers=request.headers, timeout=60)
    if answer.status_code >= 400:
        raise WrongResponseError(f"{running.server.name} answers {answer.status_code} to {request.path}: {answer.text[:200]}")
    return answer.content


def _supporting(
    running: Sequence[Running], cell: Cell, subjects: Mapping[str, Subject], wrong: Mapping[Kind, str]
) -> Iterator[tuple[Running, Cell, Request]]:
    """Return the servers that support the cell with their requests. The baseline supports all."""
    for server in running:
        if server.server.name == HELLO:
            yield server, Cell(cell.subject, cell.samples, "get", cell.connections), Request("/hello")
            continue
        kind = (server.server.name, cell.subject, cell.samples, cell.format)
        if kind not in wrong and server.server.speaks(cell.subject, cell.format):
            yield server, cell, server.server.dialects[cell.format].ask(subjects[cell.subject], cell.samples)


def _measure(running: Running, cell: Cell, request: Request, number: int, seconds: int, core: int) -> Measured:
    """Run one round of one cell: resume the server, warm up, measure and pause it."""
    running.resume()
    for _ in range(WARM_UP_REQUESTS if cell.samples == 1 else 3):
        _ask(running, request)
    before = running.cpu_seconds()
    # requests in flight when wrk ends cost CPU time but are not counted; they are few in a long round
    load = wrk(running.port, [request], cell.connections, seconds if cell.samples == 1 else 2 * seconds, core)
    cpu_us = 1e6 * (running.cpu_seconds() - before) / max(1, load.requests)
    running.pause()
    return Measured(running.server.name, cell, number, cpu_us, load.rate, load.p50_ms, load.p99_ms, load.failed)


def _alone(subject: Subject, samples: int, number: int, seconds: int, machine: Machine) -> Measured:
    """Measure the network alone on the servers' core."""
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "inputs.npz"
        np.savez(arrays, **subject.encoded(samples))  # type: ignore[arg-type]
        command = [sys.executable, "-m", f"{PROGRAMS}.alone", str(subject.graph), str(arrays), str(seconds)]
        ended = subprocess.run(["taskset", "-c", str(machine.core), *command], capture_output=True, check=True, cwd=ROOT)
    seen = json.loads(ended.stdout)
    runs = seen["requests"]
    cell = Cell(subject.name, samples, "arrays", 0)
    cpu_us, rate = 1e6 * seen["cpu_seconds"] / runs, runs / seen["seconds"]
    return Measured(ALONE, cell, number, cpu_us, rate, seen["p50_ms"], seen["p99_ms"], 0)
