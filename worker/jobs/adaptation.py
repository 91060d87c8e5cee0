"""The steps of an adaptation: load the data, fit or reuse the preprocessing, train, report, export, store."""

from importlib.metadata import version
from pathlib import Path

import torch

from app import storage_keys
from app.algorithms.auto import AutoParams
from app.algorithms.base import AlgorithmParams
from app.artifacts import InputSpec, Manifest, TrainingPrecision
from app.db.tables import JobRow
from app.job_types.adaptation import AdaptationResult
from app.storage import StoredFile, digest_of
from worker import networks
from worker.data.attempt_context import AttemptContext
from worker.data.sampling import num_steps
from worker.data.splits import DomainData
from worker.data.training_setup import TrainingSetup, choose_device
from worker.distributed.processes import distributed_session
from worker.export.onnx import export
from worker.export.quantization import quantize_version
from worker.networks.base import Inputs
from worker.protocol.progress import ProgressReporter
from worker.reporting.report import ModelReport, TrainingOutcome, build_report
from worker.search.remote_trials import TrialScheduler, queued_trials
from worker.search.successive_halving import search, table
from worker.training.loop import TRAINING_SPAN
from worker.training.preparation import prepare_trials
from worker.training.trials import TrialRunner

EXPORT_EXAMPLES = 8
LIBRARIES = ("isthmus", "numpy", "onnx", "onnxruntime", "polars", "torch", "transformers")
SOURCE_ONLY_STEP_COST = 0.5
"""What a step on the source alone takes of the time of one on both domains, for the job's progress."""


def run(context: AttemptContext) -> AdaptationResult | None:
    """Run one attempt of an adaptation, from its last checkpoint if there is one.

    Return None in a process of another rank than zero. Raise StopRequested, BadData, BadParameters, InvalidDataset.
    """
    with distributed_session(choose_device(context.settings.device)) as distributed:
        setup, trials = prepare_trials(context, distributed)
        if context.job.checkpoint is not None:
            trials.resume(context.job.checkpoint)
        context.reporter.use_precision(trials.precision)
        training = train(trials, setup.params, queued_trials(context, trials))
        trials.save()
    if not distributed.is_rank_zero:
        return None

    report = build_report(setup, trials, training)
    for warning in report.warnings:
        context.reporter.warn(warning.code, warning.message)
    export_network(setup, report, trials.data, context.reporter)
    manifest = write_manifest(context.job, setup, report, trials.precision)
    return AdaptationResult(
        modality=setup.preprocessing.modality,
        metrics=report.metrics,
        manifest=manifest,
        artifacts=[store(context, file) for file in sorted(setup.folder.iterdir())],
    )


def train(trials: TrialRunner, params: AlgorithmParams, scheduler: TrialScheduler) -> TrainingOutcome:
    """Train the method and its source-only baseline, or run the search."""
    if isinstance(params, AutoParams):
        baseline, best, records = search(trials, params, TRAINING_SPAN, scheduler)
        chosen = best.trial if best and best.trial else baseline
        return TrainingOutcome(chosen, baseline, table(baseline, params, records, best), best.params if best else params)
    if not params.needs_target:
        return TrainingOutcome(trials.run(params.algorithm, params, TRAINING_SPAN), None, [], params)
    baseline_cost = SOURCE_ONLY_STEP_COST * trials.baseline_steps(params)
    method_cost = num_steps(params, trials.data.rows(params))
    for_baseline, for_method = TRAINING_SPAN.split(baseline_cost / (baseline_cost + method_cost))
    baseline = trials.run_baseline(params, for_baseline)
    start = baseline.weights if params.needs_trained_network else None
    trial = trials.run(params.algorithm, params, for_method, start=start)
    return TrainingOutcome(trial, baseline, [], params)


def example(data: DomainData) -> Inputs:
    """Return a few examples to trace the graph with."""
    examples = data.target if data.source is None else data.source
    assert examples is not None
    inputs, _ = examples.gather(torch.arange(min(EXPORT_EXAMPLES, len(examples))), torch.device("cpu"))
    return inputs


def export_network(setup: TrainingSetup, report: ModelReport, data: DomainData, reporter: ProgressReporter) -> None:
    """Write the network's files and the requested quantized copy; add the copy's measurements to the metrics."""
    graph, _ = export(report.network, example(data), setup.folder, setup.specs, report.temperature)
    copy = quantize_version(setup.params, graph, data)
    if copy is None:
        return
    report.metrics["quantization"] = copy
    if not copy["accepted"]:
        lost = f"it loses {copy['loss']:.2%}, more than `max_quantization_loss` allows ({copy['max_loss']:.2%})"
        reporter.warn("quantization_rejected", f"The version has no {copy['precision']} copy: {lost}.")


def write_manifest(job: JobRow, setup: TrainingSetup, report: ModelReport, precision: TrainingPrecision) -> Manifest:
    """Write the version's manifest beside its other files, whose digests it holds."""
    manifest = Manifest(
        job_id=job.id,
        modality=setup.preprocessing.modality,
        preprocessing=setup.preprocessing.model_dump(mode="json"),
        classes=setup.classes,
        base=job.base,
        network=networks.self_contained_params(setup.network).model_dump(mode="json"),
        algorithm=setup.params.algorithm,
        params=setup.params.model_dump(mode="json"),
        training_precision=precision,
        temperature=report.temperature,
        abstention_threshold=report.abstention_threshold,
        inputs={name: InputSpec(spec.dtype, spec.shape) for name, spec in setup.specs.items()},
        digests={file.name: digest_of(file) for file in sorted(setup.folder.iterdir())},
        libraries={name: version(name) for name in LIBRARIES},
        metrics=report.metrics,
    )
    manifest.write(setup.folder)
    return manifest


def store(context: AttemptContext, file: Path) -> StoredFile:
    return context.storage.put(storage_keys.artifact_file(context.job.id, context.attempt, file.name), file)
