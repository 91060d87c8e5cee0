"""A job with many classes, in one process: `python -m benchmarks.jobs.many_classes --classes 1000`."""

import argparse
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

from app.schemas.jobs import JobCreate
from benchmarks.training.service import Service

COLUMNS, NOISE, SHIFT = 13, 0.2, 0.3
KIBIBYTE = 1024


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("benchmarks.jobs.many_classes", description=__doc__)
    parser.add_argument("--classes", type=int, nargs="+", default=[1000])
    parser.add_argument("--rows", type=int, default=10_000, help="Rows of the source and of the target; at least 2 per class.")
    parser.add_argument("--algorithm", default="dann")
    options = parser.parse_args(arguments)
    sys.stdout.write("classes  rows  algorithm  wall s  CPU s  peak MB  version kB\n")
    for classes in options.classes:
        figures = measure(classes, max(options.rows, 2 * classes), options.algorithm)
        sys.stdout.write("  ".join(str(value) for value in figures.values()) + "\n")
        sys.stdout.flush()


def measure(classes: int, rows: int, algorithm: str = "dann") -> dict[str, Any]:
    """Return what a job of this algorithm costs on tables of normal clusters, with the start of its process."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        service = Service(folder / "data", threads=1)
        write_tables(folder, classes, rows)
        source, target = (service.upload(folder / f"{domain}.csv") for domain in ("source", "target"))
        request = {"model": "many", "source": source, "target": target, "params": {"algorithm": algorithm}}
        job = service.submit(JobCreate.model_validate(request))
        began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        metrics = service.train(job)
        wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "classes": classes,
        "rows": rows,
        "algorithm": algorithm,
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "peak_megabytes": round(after.ru_maxrss * KIBIBYTE / 1e6),
        "version_kilobytes": round(len(str(metrics)) / 1e3),
    }


def write_tables(folder: Path, classes: int, rows: int) -> None:
    """Write `source.csv` with labels, and a shifted `target.csv` without."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(classes, COLUMNS))
    for domain, shift in (("source", 0.0), ("target", SHIFT)):
        labels = np.arange(rows) % classes
        values = centres[labels] + NOISE * random.normal(size=(rows, COLUMNS)) + shift
        table = pl.DataFrame(values.round(4), schema=[f"x{number}" for number in range(COLUMNS)])
        if domain == "source":
            table = table.with_columns(label=pl.Series([f"class-{number}" for number in labels]))
        table.write_csv(folder / f"{domain}.csv")


if __name__ == "__main__":
    main()
