"""Run methods x tasks x seeds. A restarted benchmark continues with the missing runs."""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import polars as pl
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks.adaptation.plan import BenchmarkRun, Variant, methods, plan
from benchmarks.adaptation.record import FAILURES, Record, Row, record
from benchmarks.adaptation.store import Store
from benchmarks.adaptation.tasks import task_from_folder, tasks
from worker.training.trials import BASELINE


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    for method in options.methods:  # read now, because the files may change during hours of runs
        import_module(f"worker.algorithms.{method}")
    store = Store(options.folder)
    with threadpool_limits(options.threads):
        runs = [run for run in planned_runs(options) if not store.is_done(run)]
        for number, run in enumerate(runs, start=1):
            with store.claim(run) as mine:
                if not mine or store.is_done(run):
                    continue
                row = measure(store, run, options.threads)
            print_line(f"{number}/{len(runs)} {one_line(row)}")
    store.merge()
    print_line(duration(store.runs(), planned_runs(options), store))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adaptation", description=__doc__)
    parser.add_argument("directories", nargs="*", type=Path, metavar="DIR", help="Tasks: source.*, target.*, evaluation.*")
    parser.add_argument("--tasks", nargs="*", help="Names; all when neither names nor directories are given.")
    parser.add_argument("--methods", nargs="+", default=methods(), choices=methods(), metavar="METHOD")
    parser.add_argument("--seeds", type=int, default=5, help="Number of seeds: 0, 1, ...")
    parser.add_argument("--steps", type=int, help="Steps of every run, instead of the task's own.")
    parser.add_argument("--targets", nargs="+", choices=("full", "skewed"), default=["full", "skewed"])
    parser.add_argument("--settings", type=json.loads, default={}, help="Parameters that are not defaults, as JSON.")
    parser.add_argument("--network", type=json.loads, help="`base` of a job as JSON, for image tasks, instead of the task's own.")
    parser.add_argument("--variant", default="", help="The name of these settings.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--folder", type=Path, default=Path("var/adaptation"), help="Folder of all results.")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    if bool(options.settings) != bool(options.variant):
        parser.error("--settings and --variant need each other: name the settings with --variant.")
    return options


def planned_runs(options: argparse.Namespace) -> Iterator[BenchmarkRun]:
    selected = list(map(task_from_folder, options.directories))
    if options.tasks is not None or not selected:
        by_name = tasks(options.data, options.folder / "optdigits")
        if unknown := set(options.tasks or ()) - set(by_name):
            raise SystemExit(f"no task {', '.join(sorted(unknown))}, only {', '.join(by_name)}")
        selected += [by_name[name] for name in options.tasks or by_name if options.tasks or not by_name[name].only_when_named]
    if options.network:
        selected = [task.with_network(options.network) for task in selected]
    yield from plan(
        selected,
        options.methods,
        range(options.seeds),
        skews=[target == "skewed" for target in options.targets],
        steps=options.steps,
        variant=Variant(options.variant, options.settings) if options.variant else None,
    )


def measure(store: Store, run: BenchmarkRun, threads: int) -> Row:
    """Train and store the result."""
    try:
        finished = record(run, None if run.params.algorithm == BASELINE and not run.variant else reference(store, run, threads))
    except FAILURES as error:
        failed = identity(run, threads)
        store.keep_failure(run, failed, f"{type(error).__name__}: {error}")
        return failed | {"error": f"{type(error).__name__}: {error}"}
    store.keep(run, identity(run, threads), finished)
    return identity(run, threads) | finished.row | {"error": None}


def reference(store: Store, run: BenchmarkRun, threads: int) -> Record:
    """Return the source-only record. Train it if it is missing; wait if another process trains it."""
    with store.claim(run.reference, wait=True):
        if not store.is_done(run.reference):
            store.keep(run.reference, identity(run.reference, threads), record(run.reference, None))
    return store.load(run.reference)


def identity(run: BenchmarkRun, threads: int) -> Row:
    """Return the identifying columns of rows of runs and checks."""
    return {
        "task": run.task.name,
        "skewed": run.skewed,
        "method": run.params.algorithm,
        "variant": run.variant,
        "seed": run.params.seed,
        "params": run.params.model_dump_json(),
        "network": json.dumps(run.task.network),
        "threads": threads,
        "finished": datetime.now(UTC),
        "key": run.key,
    }


def one_line(row: Row) -> str:
    name = f"{row['task']}{' skewed' if row['skewed'] else ''} {row['method']} {row['variant']} seed {row['seed']}:"
    if row["error"]:
        return f"{name} FAILED {row['error'][:200]}"
    accuracies = ", ".join(f"{part} {100 * row[f'{part}_accuracy']:.1f}" for part in ("source_only", "last", "chosen", "oracle"))
    return f"{name} {accuracies}, {row['steps']} steps, {row['seconds']:.0f} s{', collapsed' if row['collapsed'] else ''}"


def duration(rows: pl.DataFrame, runs: Iterator[BenchmarkRun], store: Store) -> str:
    """Print the time per run of each task, and the estimated time of the plan and its rest."""
    if rows.is_empty():
        return "No run has finished."
    took = rows.group_by("task", maintain_order=True).agg(pl.col("seconds").mean())
    means = dict(took.drop_nulls().iter_rows())
    lines = [f"{task}: {mean:.0f} s a run" for task, mean in means.items()]
    planned = [(means[run.task.name] / 3600, store.is_done(run)) for run in runs if run.task.name in means]
    whole, left = sum(hours for hours, _ in planned), sum(hours for hours, done in planned if not done)
    return "\n".join([*lines, f"{len(planned)} runs of these tasks: {whole:.1f} h, {left:.1f} h of them to do"])


def print_line(line: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
