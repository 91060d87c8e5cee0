"""What a version says of itself: how well it does on the source, and on the target as far as that can be known.

Everything is put into the version's metrics as JSON; `app.schemas.models` documents the keys.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch

from app.algorithms.base import AlgorithmParams
from worker import evaluate
from worker.batches import Examples
from worker.estimates import accuracy
from worker.estimates.calibration import Calibration, calibrate
from worker.estimates.floor import Floor, floor
from worker.estimates.parts import parts
from worker.estimates.study import Study, study
from worker.evidence import Evidence
from worker.examiner import Examiner
from worker.networks.base import Network
from worker.task import Task
from worker.trials import Trial, Trials

CONFIDENCE = 0.9
"""Of the interval around the estimate."""
ROWS = 2000
"""Of each domain, that the statement is computed from."""


@dataclass(frozen=True, slots=True)
class Training:
    """What the trials gave: the chosen one, that of the source alone, the table of a search, the parameters of the chosen one."""

    chosen: Trial
    reference: Trial | None
    tried: list[dict[str, Any]]
    params: AlgorithmParams


@dataclass(frozen=True, slots=True)
class Statement:
    """The network that becomes the version, its temperature, and its metrics as JSON."""

    network: Network
    temperature: float
    metrics: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """A network and what is known of it without labels of the target; no study where there is too little to study."""

    trial: Trial
    network: Network
    evidence: Evidence
    study: Study | None

    @property
    def calibration(self) -> Calibration:
        return self.study.calibration if self.study else calibrate(self.evidence.source_logits, self.evidence.source_labels)


def state(task: Task, trials: Trials, training: Training) -> Statement:
    """Of the chosen trial, compared with what the source alone gives if that was trained."""
    examiner = Examiner(trials.data, len(task.classes), task.device, task.params.seed, ROWS)
    found = find(trials, examiner, training.chosen)
    plain = find(trials, examiner, training.reference) if training.reference else None
    metrics: dict[str, Any] = {"steps": found.trial.steps, "kept_step": found.trial.step}
    metrics |= measured(task, trials, found, plain)
    metrics["calibration"] = asdict(found.calibration)
    if found.study:
        metrics |= estimated(found, plain)
    if training.tried:
        metrics["search"] = training.tried
    return Statement(found.network, found.calibration.temperature, metrics)


def find(trials: Trials, examiner: Examiner, trial: Trial) -> Finding:
    """Ask the network of a trial."""
    network = trials.network(trial)
    evidence = examiner.evidence(network)
    return Finding(trial, network, evidence, study(evidence))


def measured(task: Task, trials: Trials, found: Finding, plain: Finding | None) -> dict[str, Any]:
    """Accuracies on labelled examples: the held-out source, and the evaluation if there is one."""
    metrics: dict[str, Any] = {}
    data = trials.data
    if data.source is not None:
        with found.network.source_statistics():
            metrics |= report("source", task, found.network, data.source, data.held_out)
    if data.evaluation is not None:
        every = torch.arange(len(data.evaluation))
        metrics |= report("target", task, found.network, data.evaluation, every)
        if plain is not None:
            alone = report("target", task, plain.network, data.evaluation, every)
            metrics["source_only_target_accuracy"] = alone["target_accuracy"]
    return metrics


def report(prefix: str, task: Task, network: Network, examples: Examples, rows: torch.Tensor) -> dict[str, Any]:
    """Accuracy and counts by class on labelled examples."""
    assert examples.labels is not None
    predicted = evaluate.predict(network, examples, rows, task.device)
    return evaluate.report(prefix, examples.labels.cpu()[rows], predicted, task.classes)


def estimated(found: Finding, plain: Finding | None) -> dict[str, Any]:
    """What is said of the target without its labels."""
    assert found.study is not None
    bound = floor(found.evidence)
    critic = math.nan if bound is None else 1 - bound.source_error - bound.discrepancy
    reasons = parts(found.study, plain.study if plain else None, critic)
    estimate = accuracy.estimate(reasons)
    metrics: dict[str, Any] = {
        "target_accuracy_estimate": {**asdict(estimate), "confidence": CONFIDENCE, "parts": without_nan(reasons)},
        "validators": compared(found.trial, plain.trial if plain else None),
    }
    if bound is not None:
        metrics["target_accuracy_floor"] = as_json(bound)
    return metrics


def as_json(bound: Floor) -> dict[str, float]:
    return {"value": bound.accuracy, "confidence": bound.confidence}


def compared(trial: Trial, reference: Trial | None) -> dict[str, dict[str, float | None]]:
    """The validators' scores of both networks."""
    ours, plain = without_nan(trial.scores), without_nan(reference.scores) if reference else {}
    return {name: {"version": score, "source_only": plain.get(name)} for name, score in ours.items()}


def without_nan(values: dict[str, float]) -> dict[str, float | None]:
    """JSON knows no nan."""
    return {name: None if math.isnan(value) else value for name, value in values.items()}
