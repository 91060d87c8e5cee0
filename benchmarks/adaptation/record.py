"""One run, and all that its checks saw."""

import io
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, SupportsFloat

import torch

from app.algorithms.base import AlgorithmParams
from app.storage import Storage
from app.validators import VALIDATORS
from benchmarks.adaptation.encoded import Encoded, encoded
from benchmarks.adaptation.plan import Run
from worker.checkpoints import Checkpoints
from worker.data import Data, make_data
from worker.estimates.floor import floor
from worker.estimates.parts import parts
from worker.estimates.study import Study, study
from worker.evidence import Evidence
from worker.examiner import Examiner
from worker.networks.base import Network
from worker.reporter import BadData, BadParameters, Reporter
from worker.selection import Selection
from worker.train import Run as TrainingRun
from worker.trials import Trials, Weights

CPU = torch.device("cpu")
FAILURES = (BadParameters, BadData, ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError)
"""A method that cannot run on a task is a result, and no reason to stop the others."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """`row` says what came of the run, `checks` what was seen on the way; `weights` are those that a job would keep."""

    row: Row
    checks: list[Row]
    weights: Weights


class Witness(Examiner):
    """Remembers the newest evidence."""

    newest: Evidence

    def evidence(self, network: Network) -> Evidence:
        """As an examiner gives it."""
        self.newest = super().evidence(network)
        return self.newest


class Recorder(Reporter):
    """Takes what a run reports at its checks, and adds the parts of the estimate."""

    def __init__(self, plain: Study | None) -> None:
        """`plain`: of the network that the run is compared with."""
        super().__init__(io.StringIO())
        self.plain = plain
        self.witness: Witness | None = None
        self.checks: list[Row] = []
        self.warnings: set[str] = set()
        self.seconds = 0.0

    def report(self, step: int, epoch: float, progress: float, metrics: Mapping[str, SupportsFloat]) -> None:
        """Keep a check; what else is reported is of no interest."""
        if "target_accuracy" not in metrics or self.witness is None:
            return
        began = time.monotonic()
        seen = {name: float(value) for name, value in metrics.items()}
        self.checks.append({"step": step, **seen, **estimates(self.witness.newest, self.plain)})
        self.seconds += time.monotonic() - began

    def warn(self, code: str, message: str) -> None:
        self.warnings.add(code)


@dataclass
class RecordedTrials(Trials):
    """Trials whose checks go to a recorder."""

    recorder: Recorder = field(kw_only=True)

    def _make(self, *arguments: Any) -> TrainingRun:
        run = super()._make(*arguments)
        run.examiner = self.recorder.witness = Witness(self.data, self.classes, self.device, run.params.seed)
        return run


def record(run: Run, reference: Record | None) -> Record:
    """Train. `reference` is None for the reference itself. Raises FAILURES."""
    task = encoded(run.task, run.skewed)
    data = make_data(task.source, task.target, task.evaluation, run.params)
    recorder = Recorder(plain_study(task, data, run, reference.weights) if reference else None)
    steps = run.steps_for(max(len(data.training), len(task.target)))
    began = time.monotonic()
    with TemporaryDirectory() as folder:
        trials = _trials(task, data, recorder, Path(folder))
        start = reference.weights if reference and run.params.starts_trained else None
        trial = trials.run(run.params.algorithm, run.params, (0.0, 1.0), start=start, steps=steps)
    seconds = time.monotonic() - began - recorder.seconds
    chosen = chosen_checks(recorder.checks, data, run.params)
    sizes = {
        "training_rows": len(data.training),
        "held_out_rows": len(data.held_out),
        "target_rows": len(task.target),
        "evaluation_rows": len(task.evaluation),
    }
    alone = {"source_only_accuracy": reference.row["last_accuracy"] if reference else recorder.checks[-1]["target_accuracy"]}
    ended = {
        "steps": trial.steps,
        "seconds": seconds,
        "recording_seconds": recorder.seconds,
        "collapsed": "collapsed" in recorder.warnings,
    }
    return Record(sizes | ended | alone | _summary(recorder.checks, chosen, run.params), recorder.checks, trial.weights)


def _trials(task: Encoded, data: Data, recorder: Recorder, folder: Path) -> RecordedTrials:
    return RecordedTrials(
        build=task.build,
        data=data,
        classes=len(task.classes),
        device=CPU,
        reporter=recorder,
        checkpoints=Checkpoints(Storage(f"file://{folder}/storage"), "benchmark", folder, ""),
        checkpoint_seconds=math.inf,
        recorder=recorder,
    )


def plain_study(task: Encoded, data: Data, run: Run, weights: Weights) -> Study | None:
    """Of the network that the source alone gives, asked about the rows that the run's are asked about."""
    network = task.build()
    network.load_state_dict(weights)
    return study(Examiner(data, len(task.classes), CPU, run.params.seed).evidence(network))


def estimates(evidence: Evidence, plain: Study | None) -> Row:
    """The parts of the estimate, and the floor; empty where nothing can be said."""
    network, below = study(evidence), floor(evidence)
    if network is None:
        return {}
    critic = 1 - below.source_error - below.discrepancy if below else nan
    known = parts(network, plain, critic)
    return known | {"floor": below.accuracy if below else nan, "temperature": network.calibration.temperature}


def chosen_checks(checks: list[Row], data: Data, params: AlgorithmParams) -> dict[str, int]:
    """The place of the check that each validator chooses, as a job with it would; marks the healthy ones on the way."""
    places = {}
    for name in VALIDATORS:
        selection = Selection(data.chance, len(data.held_out))
        for check in checks:
            score = check[name] if params.needs_target else nan
            check["healthy"] = selection.look(check["step"], check["source_accuracy"], score, {}).healthy
        places[name] = next(place for place, check in enumerate(checks) if check["step"] == selection.step)
    return places


def _summary(checks: list[Row], chosen: dict[str, int], params: AlgorithmParams) -> Row:
    truth = [check["target_accuracy"] for check in checks]
    kept = checks[chosen[params.validator]]
    return {
        "source_accuracy": kept["source_accuracy"],
        "kept_step": kept["step"],
        "last_accuracy": truth[-1],
        "oracle_accuracy": max(truth),
        "chosen_accuracy": kept["target_accuracy"],
        **{f"chosen_{name}": truth[place] for name, place in chosen.items()},
    }
