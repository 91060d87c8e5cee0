"""Report of a version: its source metrics, and its target metrics as far as they can be known.

The report becomes the version's metrics as JSON; `app.schemas.version_metrics` documents the keys.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from app.artifacts import CONFUSION_FILE, EMBEDDING_FILE
from app.networks.base import PlainKind
from app.schemas.trainer_messages import JobWarning
from worker.data.training_setup import TrainingSetup
from worker.estimates.accuracy_estimate import estimate_accuracy
from worker.estimates.calibrated_outputs import MIN_SOURCE_ROWS, MIN_TARGET_ROWS
from worker.estimates.candidate_evidence import accuracy_evidence
from worker.estimates.classification_report import MAX_MATRIX_CLASSES, classification_report, rates
from worker.estimates.confusion import Confusion
from worker.estimates.feature_embedding import proxy_a_distance, write_embedding
from worker.estimates.label_shift import ClassPriors
from worker.estimates.warnings import model_warnings
from worker.networks.base import Network
from worker.reporting.candidates import Candidate, Comparison, compare, evaluate
from worker.reporting.left_out_sources import left_out_sources
from worker.reporting.target_outputs import write_target_outputs
from worker.training.evaluator import Evaluator
from worker.training.job_evidence import JobEvidence, job_evidence
from worker.training.trials import TrainingOutcome, TrialRunner

INTERVAL_CONFIDENCE = 0.9
"""Confidence of the intervals of the estimate and of the class priors."""
REPORT_ROWS = 2000
"""Maximum number of rows of each domain in the report."""
NO_ESTIMATE = (
    "The target accuracy cannot be estimated, so it is unknown whether adaptation helped. An estimate needs labelled source "
    f"examples in the job, at least {MIN_SOURCE_ROWS} of them held out, and {MIN_TARGET_ROWS} target examples. "
    "Add the missing data, or attach a labelled `evaluation` dataset."
)


@dataclass(frozen=True, slots=True)
class ModelReport:
    """Network that becomes the version, its temperature and abstention threshold, its metrics as JSON, and warnings.

    `plain_kind` is the kind of the network if it is a plain model.
    """

    network: Network
    plain_kind: PlainKind | None
    temperature: float
    abstention_threshold: float
    metrics: dict[str, Any]
    warnings: list[JobWarning]


def build_report(setup: TrainingSetup, trials: TrialRunner, training: TrainingOutcome) -> ModelReport:
    """Report on the chosen trial, or on the source-only trial if adaptation seems to have hurt."""
    evaluator = trials.new_evaluator(REPORT_ROWS)
    evidence = job_evidence(trials.data, evaluator, len(setup.classes))
    baseline = evaluate(trials, evaluator, training.baseline, evidence) if training.baseline else None
    is_baseline = training.chosen is training.baseline
    adapted = baseline if baseline and is_baseline else evaluate(trials, evaluator, training.chosen, evidence)
    facts = evidence.facts if evidence else None
    comparison = compare(adapted, baseline, facts, fallback=setup.params.fallback, others=training.others)
    selected = comparison.selected
    source_only = baseline.network if baseline else None
    write_target_outputs(setup, evaluator, selected.network, source_only, serving_temperature(setup, selected))

    job_warnings = collect_warnings(setup, trials, training, comparison)
    metrics: dict[str, Any] = {"steps": selected.trial.steps, "selected_step": selected.trial.step}
    metrics |= labelled_metrics(setup, evaluator, comparison) | unlabelled_estimates(setup, comparison, evidence)
    if selected.calibration is not None:
        metrics["calibration"] = asdict(selected.calibration)
    metrics["warnings"] = [warning.model_dump() for warning in (*trials.batch_limit.warnings, *job_warnings)]
    if baseline is not None:
        metrics |= adaptation_effect(setup, evaluator, comparison, baseline)
    if sources := left_out_sources(trials.data.source, len(setup.classes)):
        metrics["left_out_sources"] = sources
    if training.search_table:
        metrics["search"] = training.search_table
    if "target_accuracy" in metrics and "target_accuracy_estimate" in metrics:
        metrics["target_accuracy_estimate"]["error"] = metrics["target_accuracy_estimate"]["value"] - metrics["target_accuracy"]
    threshold = selected.abstention_threshold
    threshold = setup.abstention_threshold if threshold is None else threshold
    return ModelReport(
        selected.network, selected.trial.plain_kind, serving_temperature(setup, selected), threshold, metrics, job_warnings
    )


def serving_temperature(setup: TrainingSetup, candidate: Candidate) -> float:
    """Return the temperature that divides the served network's logits."""
    return candidate.calibration.temperature if candidate.calibration else setup.temperature


def collect_warnings(
    setup: TrainingSetup, trials: TrialRunner, training: TrainingOutcome, comparison: Comparison
) -> list[JobWarning]:
    """Return the reasons to be careful with the version."""
    adapted, baseline, target = comparison.adapted, comparison.baseline, trials.data.target
    if adapted.calibrated is None:
        return [] if target is None else [JobWarning(code="no_estimate", message=NO_ESTIMATE)]
    return _source_only_warning(comparison) + model_warnings(
        adapted.calibrated,
        setup.classes,
        target_rows=len(target or ()),
        baseline=baseline.calibrated if baseline else None,
        judgement=None if adapted is baseline else comparison.judgement,
        domain_accuracy=training.chosen.domain_accuracy,
    )


def _source_only_warning(comparison: Comparison) -> list[JobWarning]:
    if comparison.reason is None:
        return []
    advice = 'Add target data, or set `"fallback": false` to register the adapted model.'
    if comparison.adapted is comparison.baseline:
        advice = "Label some target rows to know, or try more steps or other candidates."
    message = f"The version is the source-only model: {comparison.reason}. {advice}"
    return [JobWarning(code="source_only_registered", message=message)]


def labelled_metrics(setup: TrainingSetup, evaluator: Evaluator, comparison: Comparison) -> dict[str, Any]:
    """Return metrics on the held-out source and on the evaluation dataset; the keys start with the domain.

    With many classes, write their confusion matrices into the folder of the version.
    """
    selected, baseline, classes = comparison.selected, comparison.baseline, setup.classes
    metrics: dict[str, Any] = {}
    temperature = serving_temperature(setup, selected)
    measured = {
        "source": evaluator.held_out_predictions(selected.network, temperature),
        "target": evaluator.evaluation_predictions(selected.network, temperature),
    }
    for domain, found in measured.items():
        if found is not None:
            confusion = Confusion.of(found.labels, found.predicted, len(classes))
            metrics |= classification_report(domain, found, confusion, classes)
            if confusion.classes > MAX_MATRIX_CLASSES:
                confusion.table(classes).write_parquet(setup.folder / CONFUSION_FILE.format(domain))
    if baseline is not None and (source_only := evaluator.evaluation_predictions(baseline.network, 1.0)) is not None:
        alone = rates(Confusion.of(source_only.labels, source_only.predicted, len(classes)).class_counts())
        metrics |= {f"source_only_target_{name}": float(alone[name][0]) for name in ("accuracy", "balanced_accuracy")}
    return metrics


def unlabelled_estimates(setup: TrainingSetup, comparison: Comparison, evidence: JobEvidence | None) -> dict[str, Any]:
    """Return the estimates of the target accuracy and class priors, empty with too few rows."""
    selected = comparison.selected
    if selected.calibrated is None:
        return {}
    metrics: dict[str, Any] = {"class_priors": class_priors(selected.calibrated.priors, setup.classes)}
    if selected.tested is None or evidence is None:
        return metrics
    measured = accuracy_evidence(selected.tested, comparison.opinions, evidence.facts)
    estimate = estimate_accuracy(measured, setup.preprocessing.modality)
    metrics["target_accuracy_estimate"] = {
        **asdict(estimate),
        "confidence": INTERVAL_CONFIDENCE,
        "estimators": without_nan(measured),
    }
    return metrics


def class_priors(priors: ClassPriors, classes: Sequence[str]) -> dict[str, Any]:
    """Return the class priors of the held-out source and of the target, as `ClassPriorsReport` documents them."""
    target = priors.target
    low, high = np.minimum(priors.low, target), np.maximum(priors.high, target)
    by_class = {
        name: {"source": float(source), "target": float(estimate), "low": float(lower), "high": float(upper)}
        for name, source, estimate, lower, upper in zip(classes, priors.source, target, low, high, strict=True)
    }
    return {"shifted": priors.shifted, "distance": priors.distance, "confidence": INTERVAL_CONFIDENCE, "classes": by_class}


def adaptation_effect(setup: TrainingSetup, evaluator: Evaluator, comparison: Comparison, baseline: Candidate) -> dict[str, Any]:
    """Return the comparison with the source-only network, and write the embedding of both networks' features."""
    adapted = comparison.adapted
    scores, baseline_scores = without_nan(adapted.trial.scores), without_nan(baseline.trial.scores)
    write_embedding(setup.folder / EMBEDDING_FILE, baseline.outputs, adapted.outputs, setup.classes, evaluator.row_numbers)
    metrics: dict[str, Any] = {
        "registered": "source_only" if comparison.selected is baseline else "adapted",
        "validators": {name: {"adapted": score, "source_only": baseline_scores.get(name)} for name, score in scores.items()},
    }
    if comparison.judgement is not None:
        rows = len(adapted.outputs.target_logits)
        counts = {"disagreements": round(comparison.evidence["disputed"] * rows), "rows": rows}
        steps = {"steps": adapted.trial.steps, "source_only_steps": baseline.trial.steps}
        judged = asdict(comparison.judgement) | counts | {"measured": without_nan(comparison.evidence)} | steps
        metrics |= {"helped": comparison.helped, "helped_evidence": judged}
        metrics["proxy_a_distance"] = {"adapted": domain_distance(adapted), "source_only": domain_distance(baseline)}
    return metrics


def domain_distance(candidate: Candidate) -> float:
    """Return the proxy A-distance of the candidate's features."""
    return proxy_a_distance(candidate.outputs.source_features, candidate.outputs.target_features)


def without_nan(values: dict[str, float]) -> dict[str, float | None]:
    """Replace NaN by None, because JSON has no NaN."""
    return {name: None if math.isnan(value) else value for name, value in values.items()}
