"""One run and the results of its evaluations."""

import io
import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, SupportsFloat

import numpy as np
import torch
from numpy.typing import NDArray

from app.algorithms.base import AlgorithmParams
from app.storage import Storage
from app.validators import VALIDATORS
from benchmarks.adaptation.encoded import EncodedTask, encode_task
from benchmarks.adaptation.plan import BenchmarkRun
from worker.data.splits import DomainData, split_source
from worker.protocol.progress import BadData, BadParameters, ProgressReporter
from worker.protocol.progress_span import ProgressSpan
from worker.training.checkpoint_selection import CheckpointSelector
from worker.training.checkpoints import Checkpoints
from worker.training.evaluator import Evaluator
from worker.training.mixed_precision import decide_precision
from worker.training.runtime import NetworkFactory, TrainingRuntime
from worker.training.trials import TrialRunner, Weights

CPU = torch.device("cpu")
FAILURES = (BadParameters, BadData, ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError)
"""Errors of a method that cannot run on a task. They are recorded as results."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """The result of a run (`row`), its evaluations (`checks`) and the weights that a job would keep."""

    row: Row
    checks: list[Row]
    weights: Weights


class Recorder(ProgressReporter):
    """A reporter that keeps the evaluations of a run."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.checks: list[Row] = []
        self.warnings: set[str] = set()

    def report(self, step: int, epoch: float, progress: float, metrics: Mapping[str, SupportsFloat]) -> None:
        """Keep the metrics of an evaluation and ignore all others."""
        if "target_accuracy" in metrics:
            self.checks.append({"step": step} | {name: float(value) for name, value in metrics.items()})

    def warn(self, code: str, message: str) -> None:
        self.warnings.add(code)


def record(run: BenchmarkRun, reference: Record | None) -> Record:
    """Train and record a run. `reference` is None for the reference itself. Raise FAILURES."""
    task, recorder = encode_task(run.task, run.skewed), Recorder()
    data = split_source(task.source, task.target, task.evaluation, run.params)
    steps = run.steps_for(max(len(data.training), len(task.target)))
    began = time.monotonic()
    with TemporaryDirectory() as folder:
        trials = trial_runner(task, data, run.params, recorder, Path(folder))
        start = reference.weights if reference and run.params.needs_trained_network else None
        trial = trials.run(run.params.algorithm, run.params, ProgressSpan(), start=start, steps=steps)
    seconds = time.monotonic() - began
    labels = Evaluator(data, len(task.classes), CPU).source_labels
    chosen = selected_checks(recorder.checks, labels, run.params)
    sizes = {
        "training_rows": len(data.training),
        "held_out_rows": len(data.held_out),
        "target_rows": len(task.target),
        "evaluation_rows": len(task.evaluation),
    }
    alone = {"source_only_accuracy": reference.row["last_accuracy"] if reference else recorder.checks[-1]["target_accuracy"]}
    ended = {"steps": trial.steps, "seconds": seconds, "collapsed": "collapsed" in recorder.warnings}
    row = sizes | ended | alone | _summary(recorder.checks, chosen, run.params)
    return Record(row, recorder.checks, trial.weights)


def trial_runner(
    task: EncodedTask, data: DomainData, params: AlgorithmParams, reporter: ProgressReporter, folder: Path
) -> TrialRunner:
    """Make the tensors of a task as a job does."""
    checkpoints = Checkpoints(Storage(f"file://{folder}/storage"), "benchmark", folder, "")
    runtime = TrainingRuntime(CPU, reporter, checkpoints, further_validators=frozenset(VALIDATORS))
    networks = NetworkFactory(len(task.classes), task.build, build_plain=task.build_plain)
    return TrialRunner(networks, data, runtime, decide_precision(params, CPU, task.build))


def selected_checks(checks: list[Row], labels: NDArray[np.int64], params: AlgorithmParams) -> dict[str, int]:
    """Return the index of the check that each validator selects, as in a job, and mark the healthy checks.

    `labels` (n,) are the labels of the evaluated held-out source rows.
    """
    indices = {}
    for name in VALIDATORS:
        selection = CheckpointSelector(labels)
        for check in checks:
            score = check[name] if params.needs_target else nan
            check["healthy"] = selection.update(check["step"], check["source_accuracy"], score, {}).healthy
        indices[name] = next(index for index, check in enumerate(checks) if check["step"] == selection.step)
    return indices


def _summary(checks: list[Row], chosen: dict[str, int], params: AlgorithmParams) -> Row:
    truth = [check["target_accuracy"] for check in checks]
    kept = checks[chosen[params.validator]]
    return {
        "source_accuracy": kept["source_accuracy"],
        "selected_step": kept["step"],
        "last_accuracy": truth[-1],
        "oracle_accuracy": max(truth),
        "chosen_accuracy": kept["target_accuracy"],
        **{f"chosen_{name}": truth[index] for name, index in chosen.items()},
    }
