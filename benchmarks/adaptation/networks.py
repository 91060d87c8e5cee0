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
    known = tasks(options.data, options.folder / "optdigits") | {
        task.name: task for task in map(task_from_folder, options.directories)
    }
    with threadpool_limits(1):
        evaluate_runs(store, known)
    gather(store).write_parquet(options.folder / NETWORKS)


def evaluate_runs(store: Store, known: dict[str, Task]) -> None:
    """Store two rows per run of a method: its network and the source-only network."""
    runs = store.runs().filter(pl.col("error").is_null())
    alone = runs.filter(method=BASELINE, variant="")
    ask = lru_cache(2 * len(known))(partial(_candidate, store, known))
    for row in runs.filter(pl.col("method") != BASELINE).sort(*SETTING).iter_rows(named=True):
        beside = alone.filter(**{name: row[name] for name in SETTING})
        if beside.is_empty() or store.rows(row["key"], KIND) is not None:
            continue
        began = time.monotonic()
        plain = beside.row(0, named=True)
        rows = _network_rows(row, _candidate(store, known, *_identity(row)), plain, ask(*_identity(plain)))
        store.keep_rows(row["key"], KIND, rows)
        sys.stdout.write(f"{row['key']}: {time.monotonic() - began:.0f} s\n")
        sys.stdout.flush()


def gather(store: Store) -> pl.DataFrame:
    """Return all rows of the selected runs, with the first row of each source-only network."""
    keys = store.runs().filter(pl.col("error").is_null()).sort(pl.col("method") != FIRST_METHOD)["key"]
    found = [rows for key in keys if (rows := store.rows(key, KIND)) is not None]
    if not found:
        return pl.DataFrame()
    rows = pl.concat(found, how="diagonal_relaxed")
    alone = rows.filter(~pl.col("adapted")).unique(SETTING, keep="first", maintain_order=True)
    return pl.concat([rows.filter("adapted"), alone])


def _identity(row: Row) -> tuple[str, str, bool, str, str]:
    return row["key"], row["task"], row["skewed"], row["params"], row["network"]


def _candidate(  # noqa: PLR0913  # the columns of a row of the store
    store: Store, known: dict[str, Task], key: str, task: str, skewed: bool, said: str, network: str
) -> Candidate:
    """Report on a network as a job does. Its architecture may differ from the task's default."""
    examples = encode_task(replace(known[task], network=json.loads(network)), skewed)
    params = parse_params(_parse_json(said))
    data = split_source(examples.source, examples.target, examples.evaluation, params)
    with TemporaryDirectory() as folder:
        trials = trial_runner(examples, data, params, ProgressReporter(io.StringIO()), Path(folder))
        return evaluate(trials, Evaluator(data, len(examples.classes), CPU, REPORT_ROWS), Trial(store.weights(key), 0, 0, {}))


def _network_rows(row: Row, adapted: Candidate, alone: Row, plain: Candidate) -> list[Row]:
    """Return the calibrated outputs, or nothing if there are too few rows."""
    ours, other = adapted.calibrated, plain.calibrated
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
        | {"adapted": False, "target_accuracy": alone["last_accuracy"]}
        | _lower_bound(plain)
        | estimator_values(other, ours),
    ]


def verdict_row(verdict: TransferVerdict) -> Row:
    """Return the judgement, the evidence and the names of the fired rules."""
    return {"helped": verdict.helped, **asdict(verdict.evidence), "rules": ", ".join(rule.name for rule in verdict.fired)}


def _lower_bound(found: Candidate) -> Row:
    return {"floor": found.lower_bound.accuracy if found.lower_bound else None}


def _parse_json(params: str) -> Row:
    values: Row = json.loads(params)
    return values


if __name__ == "__main__":
    main()
