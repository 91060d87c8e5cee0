"""`python -m benchmarks.jobs`: see README.md."""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.jobs import report
from benchmarks.jobs.cases import all_cases
from benchmarks.jobs.measure import measure
from benchmarks.samples import write


def main() -> None:
    cases = all_cases()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jobs", description="Phases of jobs.")
    parser.add_argument("--cases", nargs="+", choices=cases, default=["source_only", "dann", "auto", "batch_prediction"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", default="var/benchmarks/jobs.json", help="File for the results.")
    arguments = parser.parse_args()
    chosen = [cases[name] for name in arguments.cases]
    with tempfile.TemporaryDirectory() as folder:
        samples = measure(chosen, arguments.rounds, Path(folder))
    write(Path(arguments.json), samples)
    sys.stdout.write(report.render(chosen, samples))


if __name__ == "__main__":
    main()
