"""`python -m benchmarks.shifts record` trains all candidates on all shifts; `fit` fits the evidence model and reports it."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from app.errors import ServiceError
from benchmarks.shifts.registry import all_shifts
from benchmarks.shifts.store import Store

FAILURES = (ServiceError, ValueError, LookupError, RuntimeError, AssertionError)
"""Errors of a shift that cannot be recorded; the others continue."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    with threadpool_limits(options.threads):
        options.run(options)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shifts", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("var/shifts"), help="Folder of the records.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="Folder of the data outside the repository.")
    parser.add_argument("--threads", type=int, default=1)
    commands = parser.add_subparsers(required=True)
    recording = commands.add_parser("record", help="Train the candidates. Continues where it was stopped.")
    recording.add_argument("--seeds", type=int, nargs="+", default=[0])
    recording.add_argument("--seconds", type=float, default=float("inf"), help="Time after which no further shift begins.")
    recording.set_defaults(run=record_all)
    fitting = commands.add_parser("fit", help="Fit the coefficients, and print the tables with whole datasets held out.")
    fitting.add_argument("--plot", type=Path, default=Path("docs/howto/calibration.svg"), help="File of the calibration plot.")
    fitting.add_argument("--write", action="store_true", help="Replace the coefficients of the worker.")
    fitting.set_defaults(run=fit_all)
    return parser.parse_args(arguments)


def record_all(options: argparse.Namespace) -> None:
    from benchmarks.shifts.record import record

    store, ends = Store(options.folder), time.monotonic() + options.seconds
    for seed in options.seeds:
        for shift in all_shifts(options.data):
            if store.has(shift, seed) or time.monotonic() > ends:
                continue
            began = time.monotonic()
            try:
                store.keep(shift, seed, record(shift, seed))
                outcome = f"{time.monotonic() - began:.1f} s"
            except FAILURES as error:
                outcome = f"{type(error).__name__}: {error}"
            sys.stdout.write(f"{shift.key} {seed}: {outcome}\n")
            sys.stdout.flush()


def fit_all(options: argparse.Namespace) -> None:
    """Fit the coefficients and print the figures. The tasks that only judge take no part in the fit."""
    from benchmarks.shifts import fit, judged, report
    from benchmarks.shifts.cases import read_cases

    every = read_cases(options.folder, options.data)
    cases = [case for case in every if case.shift.dataset.is_for_fitting]
    judging = [case for case in every if not case.shift.dataset.is_for_fitting]
    if options.write:
        fit.write(cases)
    judgements, estimates = judged.judged_by_others(cases), judged.estimated_by_others(cases)
    alone = judged.judged_by_others(fit.alone(cases))
    sys.stdout.write(report.text(judgements, alone, estimates) + "\n\n" + report.tasks(judging, cases) + "\n")
    report.plot(judgements, estimates, options.plot)


if __name__ == "__main__":
    main()
