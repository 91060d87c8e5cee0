"""What a version says of itself: how well it does on the source, and on the target as far as that can be known.

Everything is put into the version's metrics as JSON; `app.schemas.version_metrics` documents the keys.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.algorithms.base import AlgorithmParams
from app.schemas.trainer_messages import JobWarning
from worker.data.batches import EncodedDataset
from worker.data.training_setup import TrainingSetup
from worker.estimates import accuracy_estimate
from worker.estimates.calibrated_outputs import MIN_SOURCE_ROWS, MIN_TARGET_ROWS
from worker.estimates.classification_report import classification_report
from worker.estimates.estimators import estimator_values
from worker.estimates.feature_embedding import proxy_a_distance, write_embedding
from worker.estimates.label_shift import ClassPriors
from worker.estimates.warnings import model_warnings
from worker.evaluation.outputs import probabilities
from worker.networks.base import Network
from worker.reporting.candidates import Candidate, Comparison, compare, evaluate
from worker.training.evaluator import Evaluator, features_and_logits
from worker.training.trials import Trial, TrialRunner

INTERVAL_CONFIDENCE = 0.9
"""Of the intervals around the estimate and the class shares."""
REPORT_ROWS = 2000
"""Of each domain, that the statement is computed from."""
NO_ESTIMATE = (
    "Nothing is said of the accuracy on the target, nor whether adaptation helped: that takes labelled source examples of the "
    f"job's own, {MIN_SOURCE_ROWS} of them held out, and {MIN_TARGET_ROWS} target examples."
)
EMBEDDING_FILE = "embedding.parquet"


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """What the trials gave: the chosen one, that of the source alone, the table of a search, the parameters of the chosen one."""

    chosen: Trial
    baseline: Trial | None
    search_table: list[dict[str, Any]]
    params: AlgorithmParams


@dataclass(frozen=True, slots=True)
class ModelReport:
    """The network that becomes the version, its temperature and threshold, its metrics as JSON, and what to beware of."""

    network: Network
    temperature: float
    abstention_threshold: float
    metrics: dict[str, Any]
    warnings: list[JobWarning]


def build_report(task: TrainingSetup, trials: TrialRunner, training: TrainingOutcome) -> ModelReport:
    """Of the chosen trial, or of what the source alone gives where adaptation seems to have hurt."""
    examiner = Evaluator(trials.data, len(task.classes), task.device, REPORT_ROWS)
    plain = evaluate(trials, examiner, training.baseline) if training.baseline else None
    adapted = plain if plain and training.chosen is training.baseline else evaluate(trials, examiner, training.chosen)
    comparison = compare(adapted, plain, fallback=task.params.fallback, searched=task.params.is_search)
    kept = comparison.selected

    warned = collect_warnings(task, trials, training, comparison)
    metrics: dict[str, Any] = {"steps": kept.trial.steps, "selected_step": kept.trial.step}
    metrics |= labelled_metrics(task, trials, comparison) | unlabelled_estimates(task, comparison)
    if kept.calibration is not None:
        metrics["calibration"] = asdict(kept.calibration)
    metrics["warnings"] = [warning.model_dump() for warning in warned]
    if plain is not None:
        metrics |= adaptation_effect(task, comparison, plain)
    if training.search_table:
        metrics["search"] = training.search_table
    if "target_accuracy" in metrics and "target_accuracy_estimate" in metrics:
        metrics["target_accuracy_estimate"]["error"] = metrics["target_accuracy_estimate"]["value"] - metrics["target_accuracy"]
    threshold = kept.abstention_threshold
    threshold = task.abstention_threshold if threshold is None else threshold
    return ModelReport(kept.network, serving_temperature(task, kept), threshold, metrics, warned)


def serving_temperature(task: TrainingSetup, found: Candidate) -> float:
    """Of the logits that a network is served with."""
    return found.calibration.temperature if found.calibration else task.temperature


def collect_warnings(
    task: TrainingSetup, trials: TrialRunner, training: TrainingOutcome, comparison: Comparison
) -> list[JobWarning]:
    """What the user ought to know before trusting the version."""
    adapted, plain, target = comparison.adapted, comparison.baseline, trials.data.target
    if adapted.calibrated is None:
        return [] if target is None else [JobWarning(code="no_estimate", message=NO_ESTIMATE)]
    why = comparison.reason
    kept = [JobWarning(code="source_only_registered", message=f"The version is the source-only network: {why}.")] if why else []
    return kept + model_warnings(
        adapted.calibrated,
        task.classes,
        target_rows=len(target or ()),
        baseline=plain.calibrated if plain else None,
        verdict=None if adapted is plain else comparison.verdict,
        domain_accuracy=training.chosen.domain_accuracy,
    )


def labelled_metrics(task: TrainingSetup, trials: TrialRunner, comparison: Comparison) -> dict[str, Any]:
    """Accuracies on labelled examples: the held-out source, and the evaluation if there is one."""
    metrics: dict[str, Any] = {}
    data, kept, plain = trials.data, comparison.selected, comparison.baseline
    if data.source is not None:
        with kept.network.source_statistics():
            metrics |= dataset_metrics("source", task, kept, data.source, data.held_out)
    if data.evaluation is not None:
        every = torch.arange(len(data.evaluation))
        metrics |= dataset_metrics("target", task, kept, data.evaluation, every)
        if plain is not None:
            alone = dataset_metrics("source_only_target", task, plain, data.evaluation, every)
            metrics["source_only_target_accuracy"] = alone["source_only_target_accuracy"]
    return metrics


def dataset_metrics(prefix: str, task: TrainingSetup, found: Candidate, examples: EncodedDataset, rows: Tensor) -> dict[str, Any]:
    """What labelled examples say of a network."""
    assert examples.labels is not None
    _, logits = features_and_logits(found.network, examples, rows, task.device)
    shares = probabilities(logits, serving_temperature(task, found))
    return classification_report(prefix, examples.labels.cpu()[rows].numpy(), shares, task.classes)


def unlabelled_estimates(task: TrainingSetup, comparison: Comparison) -> dict[str, Any]:
    """What is said of the target without its labels."""
    found = comparison.selected
    if found.calibrated is None:
        return {}
    reasons = estimator_values(found.calibrated, comparison.discarded.calibrated if comparison.discarded else None)
    estimate = accuracy_estimate.estimate_accuracy(reasons)
    metrics: dict[str, Any] = {
        "target_accuracy_estimate": {**asdict(estimate), "confidence": INTERVAL_CONFIDENCE, "estimators": without_nan(reasons)},
        "class_priors": class_priors(found.calibrated.priors, task.classes),
    }
    if (
        found.lower_bound is not None
    ):  # the bound's assumption fails for networks that are confident and wrong: the interval sees more
        value = min(found.lower_bound.accuracy, estimate.low)
        metrics["target_accuracy_lower_bound"] = {"value": value, "confidence": found.lower_bound.confidence}
    return metrics


def class_priors(priors: ClassPriors, classes: Sequence[str]) -> dict[str, Any]:
    """Of the held-out source and, estimated with an interval, of the target; whether they seem to differ."""
    target = priors.target
    low, high = np.minimum(priors.low, target), np.maximum(priors.high, target)
    by_class = {
        name: {"source": float(source), "target": float(share), "low": float(least), "high": float(most)}
        for name, source, share, least, most in zip(classes, priors.source, target, low, high, strict=True)
    }
    return {"shifted": priors.shifted, "distance": priors.distance, "confidence": INTERVAL_CONFIDENCE, "classes": by_class}


def adaptation_effect(task: TrainingSetup, comparison: Comparison, baseline: Candidate) -> dict[str, Any]:
    """The adapted network and that of the source alone; their features are written as a picture beside the version's files."""
    adapted, verdict = comparison.adapted, comparison.verdict
    ours, alone = without_nan(adapted.trial.scores), without_nan(baseline.trial.scores)
    write_embedding(task.folder / EMBEDDING_FILE, baseline.outputs, adapted.outputs, task.classes)
    found: dict[str, Any] = {
        "registered": "source_only" if comparison.selected is baseline else "adapted",
        "validators": {name: {"adapted": score, "source_only": alone.get(name)} for name, score in ours.items()},
    }
    if verdict is not None:
        steps = {"steps": adapted.trial.steps, "source_only_steps": baseline.trial.steps}
        evidence = asdict(verdict.evidence) | steps | {"fired_rules": [asdict(rule) for rule in verdict.fired]}
        found |= {"helped": comparison.helped, "helped_evidence": evidence}
        found["proxy_a_distance"] = {"adapted": domain_distance(adapted), "source_only": domain_distance(baseline)}
    return found


def domain_distance(found: Candidate) -> float:
    return proxy_a_distance(found.outputs.source_features, found.outputs.target_features)


def without_nan(values: dict[str, float]) -> dict[str, float | None]:
    """JSON knows no nan."""
    return {name: None if math.isnan(value) else value for name, value in values.items()}
