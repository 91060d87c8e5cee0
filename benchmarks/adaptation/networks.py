"""Reports on the selected network of each run: `python -m benchmarks.adaptation.networks`, after the runs.

Every adapted network is compared with the source-only network of the same task and seed, and vice versa. Finished reports are
not repeated. `networks.parquet` contains all of them; `benchmarks.estimates.fit` uses it.
"""

import argparse
import io
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import polars as pl
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from app.algorithms.base import parse_params
from benchmarks.adaptation.encoded import encode_task
from benchmarks.adaptation.record import CPU, Row, trial_runner
from benchmarks.adaptation.store import Store
from benchmarks.adaptation.tasks import Task, task_from_folder, tasks
from worker.data.splits import split_source
from worker.estimates.estimators import estimator_values
from worker.estimates.transfer_verdict import TransferVerdict, judge_transfer
from worker.protocol.progress import ProgressReporter
from worker.reporting.candidates import Candidate, evaluate
from worker.reporting.report import REPORT_ROWS
from worker.training.evaluator import Evaluator
from worker.training.trials import BASELINE, Trial

SETTING = ("task", "skewed", "seed")
KIND = "networks"
FIRST_METHOD = "mcc"
"""Method whose runs provide the rows of the source-only networks, if they exist."""
NETWORKS = "networks.parquet"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adaptation.networks", description=__doc__)
    parser.add_argument("directories", nargs="*", type=Path, metavar="DIR", help="Task directories of the runs.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--folder", type=Path, default=Path("var/adaptation"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    store = Store(options.folder)
    store.merge()
    if store.runs().is_empty():
        raise SystemExit(f"{options.folder} has no runs. Run `python -m benchmarks.adaptation` first.")
    task_by_name = tasks(options.data, options.folder / "optdigits") | {
        task.name: task for task in map(task_from_folder, options.directories)
    }
    with threadpool_limits(1):
        evaluate_runs(store, task_by_name)
    gather(store).write_parquet(options.folder / NETWORKS)


def evaluate_runs(store: Store, task_by_name: dict[str, Task]) -> None:
    """Store two rows per run of a method: its network and the source-only network."""
    runs = store.runs().filter(pl.col("error").is_null())
    alone = runs.filter(method=BASELINE, variant="")
    ask = lru_cache(2 * len(task_by_name))(partial(_candidate, store, task_by_name))
    for row in runs.filter(pl.col("method") != BASELINE).sort(*SETTING).iter_rows(named=True):
        beside = alone.filter(**{name: row[name] for name in SETTING})
        if beside.is_empty() or store.rows(row["key"], KIND) is not None:
            continue
        began = time.monotonic()
        baseline = beside.row(0, named=True)
        rows = _network_rows(row, _candidate(store, task_by_name, _identity(row)), baseline, ask(_identity(baseline)))
        store.keep_rows(row["key"], KIND, rows)
        sys.stdout.write(f"{row['key']}: {time.monotonic() - began:.0f} s\n")
        sys.stdout.flush()


def gather(store: Store) -> pl.DataFrame:
    """Return all rows of the selected runs, with the first row of each source-only network."""
    keys = store.runs().filter(pl.col("error").is_null()).sort(pl.col("method") != FIRST_METHOD)["key"]
    tables = [rows for key in keys if (rows := store.rows(key, KIND)) is not None]
    if not tables:
        return pl.DataFrame()
    rows = pl.concat(tables, how="diagonal_relaxed")
    alone = rows.filter(~pl.col("adapted")).unique(SETTING, keep="first", maintain_order=True)
    return pl.concat([rows.filter("adapted"), alone])


class RunIdentity(NamedTuple):
    """Columns of a run that identify its network; `params` and `network` are JSON."""

    key: str
    task: str
    skewed: bool
    params: str
    network: str


def _identity(row: Row) -> RunIdentity:
    return RunIdentity(row["key"], row["task"], row["skewed"], row["params"], row["network"])


def _candidate(store: Store, task_by_name: dict[str, Task], run: RunIdentity) -> Candidate:
    """Report on a network as a job does. Its architecture may differ from the task's default."""
    examples = encode_task(replace(task_by_name[run.task], network=json.loads(run.network)), run.skewed)
    params = parse_params(_parse_json(run.params))
    data = split_source(examples.source, examples.target, examples.evaluation, params)
    with TemporaryDirectory() as folder:
        trials = trial_runner(examples, data, params, ProgressReporter(io.StringIO()), Path(folder))
        return evaluate(trials, Evaluator(data, len(examples.classes), CPU, REPORT_ROWS), Trial(store.weights(run.key), 0, 0, {}))


def _network_rows(row: Row, adapted: Candidate, baseline_row: Row, baseline: Candidate) -> list[Row]:
    """Return the calibrated outputs, or nothing if there are too few rows."""
    ours, other = adapted.calibrated, baseline.calibrated
    if ours is None or other is None:
        return []
    verdict = judge_transfer(ours, other)
    common = {name: row[name] for name in (*SETTING, "method", "variant", "key")} | verdict_row(verdict)
    return [
        common
        | {"adapted": True, "target_accuracy": row["chosen_accuracy"]}
        | _lower_bound(adapted)
        | estimator_values(ours, other),
        common
        | {"adapted": False, "target_accuracy": baseline_row["last_accuracy"]}
        | _lower_bound(baseline)
        | estimator_values(other, ours),
    ]


def verdict_row(verdict: TransferVerdict) -> Row:
    """Return the judgement, the evidence and the names of the fired rules."""
    return {"helped": verdict.helped, **asdict(verdict.evidence), "rules": ", ".join(rule.name for rule in verdict.fired)}


def _lower_bound(candidate: Candidate) -> Row:
    return {"floor": candidate.lower_bound.accuracy if candidate.lower_bound else None}


def _parse_json(params: str) -> Row:
    values: Row = json.loads(params)
    return values


if __name__ == "__main__":
    main()
