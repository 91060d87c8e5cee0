"""Interleaved rounds of all cases: in each round, every job and its reference process once."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.jobs.case import REFERENCE, Case
from benchmarks.phases import phases
from benchmarks.samples import Samples
from tests.support.deployed_service import Client
from tests.support.embedded_service import up

TOTAL, RATIO, SCIKIT_LEARN = "total s", "ratio to scikit-learn", "scikit-learn s"


def measure(cases: Sequence[Case], rounds: int, folder: Path) -> Samples:
    """Return the seconds of each phase, of the whole job and of its reference, by case. A first round warms up."""
    samples: Samples = {}
    with up(folder) as service:
        prepared = {case.name: case.prepare(service.client, folder) for case in cases}
        for number in range(rounds + 1):
            for case in cases:
                figures = _round(case, service.client, prepared[case.name], folder)
                sys.stderr.write(f"round {number}: {case.name} {figures[TOTAL]:.2f} s\n")
                for name, value in figures.items() if number else ():
                    samples.setdefault(f"{case.name}: {name}", []).append(value)
    return samples


def _round(case: Case, client: Client, prepared: dict[str, object], folder: Path) -> dict[str, float]:
    began = time.perf_counter()
    ended = case.run(client, prepared)
    total = time.perf_counter() - began
    figures = {f"{name} s": seconds for name, seconds in phases(client.http, ended.kind, ended.job).items()} | {TOTAL: total}
    arguments = case.reference(folder)
    if arguments:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", REFERENCE, *arguments], check=True, capture_output=True)
        figures[SCIKIT_LEARN] = time.perf_counter() - began
        figures[RATIO] = total / figures[SCIKIT_LEARN]
    return figures
