"""What one hostile or busy client costs another one. Prints a table of attacks, outcomes and the latencies of the other client.

`python -m benchmarks.resilience [ATTACK ...] [--database postgresql://...]`. It starts `isthmus api` on 127.0.0.1 with a database
of its own and runs each attack of the folder `attacks` in a process of its own. An attack that kills processes starts services of
its own, so that it has no other client. A database of PostgreSQL is for one attack, because each needs an empty one.
"""

import argparse
import logging
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from pkgutil import iter_modules
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import click
import pytest
import structlog

from benchmarks.resilience import attacks
from benchmarks.resilience.observer import PROBES, Latencies, Observer
from benchmarks.resilience.service import Setting, Target, serve

HEADER = ("attack", "outcome", "seconds", "memory MB", *(f"{probe} median/max ms" for probe in PROBES))


def main() -> None:
    """Run the chosen attacks and print the table as Markdown."""
    names = [module.name for module in iter_modules(attacks.__path__)]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resilience", description="Latencies of a client during attacks.")
    parser.add_argument("attacks", nargs="*", default=names, metavar="ATTACK", help=f"Default: all of {', '.join(names)}.")
    parser.add_argument("--database", default="", help="SQLAlchemy URL of an empty database. Default: SQLite.")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    _print_row(HEADER)
    _print_row(["---"] * len(HEADER))
    for name in arguments.attacks:
        _print_row(_row(name, arguments.database))


def _row(name: str, database: str) -> Sequence[str]:
    setting = attacks.setting(name)
    try:
        with TemporaryDirectory() as folder, serve(Path(folder), database, setting) as target:
            return _measure(name, target, setting)
    except pytest.skip.Exception as reason:
        outcome = f"not measured: {reason}"
    except Exception as error:  # noqa: BLE001 - the other attacks still have to run
        outcome = f"failed: {error!r}"
    return [name, outcome, *["-"] * (len(HEADER) - 2)]


def _measure(name: str, target: Target, setting: Setting) -> Sequence[str]:
    with ProcessPoolExecutor(1, get_context("spawn")) as attacker:
        attacker.submit(attacks.load, name).result()  # the start of the process is not measured
        if setting.observed:
            return _measure_observed(name, target, attacker)
        start = perf_counter()
        outcome = attacker.submit(attacks.run, name, target).result()
        return [name, outcome, f"{perf_counter() - start:.1f}", *["-"] * (len(HEADER) - 3)]


def _measure_observed(name: str, target: Target, attacker: ProcessPoolExecutor) -> Sequence[str]:
    with Observer(target) as observer:
        observer.reset()
        before, start = target.resident_bytes(), perf_counter()
        outcome = attacker.submit(attacks.run, name, target).result()
        seconds, latencies = perf_counter() - start, observer.latencies()
        grown = (observer.most_resident_bytes - before) / 1e6
    return [name, outcome, f"{seconds:.1f}", f"+{max(grown, 0):.0f}", *(_summary(latencies[probe]) for probe in PROBES)]


def _summary(latencies: Latencies) -> str:
    if not latencies.milliseconds:
        return f"no response, {latencies.failed} failed"
    failed = f", {latencies.failed} failed" if latencies.failed else ""
    return f"{median(latencies.milliseconds):.0f} / {max(latencies.milliseconds):.0f}{failed}"


def _print_row(cells: Sequence[str]) -> None:
    click.echo(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
