"""What a version says of itself: how well it does on the source, and on the target as far as that is known."""

from dataclasses import dataclass
from typing import Any

import torch

from app.algorithms.base import AlgorithmParams
from worker import evaluate
from worker.batches import Examples
from worker.networks.base import Network
from worker.task import Task
from worker.trials import Trial, Trials


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


def state(task: Task, trials: Trials, training: Training) -> Statement:
    """Of the chosen trial, compared with what the source alone gives if that was trained."""
    trial, reference = training.chosen, training.reference
    network = trials.network(trial)
    metrics: dict[str, Any] = {"steps": trial.steps, "kept_step": trial.step}
    data = trials.data
    if data.source is not None:
        with network.source_statistics():
            metrics |= measured("source", task, network, data.source, data.held_out)
    if data.evaluation is not None:
        metrics |= measured("target", task, network, data.evaluation, torch.arange(len(data.evaluation)))
    if reference is not None and data.evaluation is not None:
        alone = measured(
            "source_only_target", task, trials.network(reference), data.evaluation, torch.arange(len(data.evaluation))
        )
        metrics["source_only_target_accuracy"] = alone["source_only_target_accuracy"]
    return Statement(network, 1.0, metrics)


def measured(prefix: str, task: Task, network: Network, examples: Examples, rows: torch.Tensor) -> dict[str, Any]:
    """Accuracy and counts by class on labelled examples."""
    assert examples.labels is not None
    predicted = evaluate.predict(network, examples, rows, task.device)
    return evaluate.report(prefix, examples.labels.cpu()[rows], predicted, task.classes)
