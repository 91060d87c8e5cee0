"""The steps of a job: load, fit or reuse the preprocessing, train, state what came of it, export, store."""

import json
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from app.algorithms.auto import AutoParams
from app.algorithms.base import AlgorithmParams
from app.db.tables import DatasetRow, JobRow
from app.modalities import MODALITIES
from app.schemas.trainer_messages import Result, StoredArtifact
from app.services.datasets import profile_of
from app.services.trials import SearchAttempt
from app.settings import Settings
from app.storage import Storage, digest_of
from worker import networks
from worker.data.batches import Examples, planned_steps
from worker.data.job_inputs import Materials, load
from worker.data.splits import Data, make_data
from worker.data.training_setup import Task, choose_device, make_network, make_task, read
from worker.distributed import data_parallel as together
from worker.export.onnx import export
from worker.export.quantization import compact
from worker.networks.base import Inputs
from worker.protocol.progress import BadData, Reporter, Stopped
from worker.reporting.report import Statement, Training, state
from worker.search.remote_trials import Offers, offers_of
from worker.search.successive_halving import search, table
from worker.training.checkpoints import Checkpoints
from worker.training.loop import TRAINING_SHARE
from worker.training.trials import Trials

MANIFEST_FILE = "manifest.json"
EXPORT_EXAMPLES = 8
LIBRARIES = ("isthmus", "numpy", "onnx", "onnxruntime", "polars", "torch", "transformers")
SOURCE_STEP = 0.5
"""What a step on the source alone takes of the time of one on both domains, for the job's progress."""


def run(job: JobRow, attempt: int, settings: Settings, storage: Storage, folder: Path, reporter: Reporter) -> Result | None:
    """Run one attempt of a job, from its last checkpoint if it has one; `folder` is scratch.

    None in a process that only helps another to train. Raises Stopped, BadData, BadParameters (worker.protocol.progress),
    InvalidDataset.
    """
    prefix = f"jobs/{job.id}/{attempt}"
    with together.joined(choose_device(settings.device)):
        task, trials = prepare(job, prefix, settings, storage, folder, reporter)
        if job.checkpoint is not None:
            trials.resume(job.checkpoint)
        with offers_of(SearchAttempt(job.id, attempt), trials, settings) as offers:
            training = train(trials, task.params, offers)
        trials.save()
    if not together.leads():
        return None

    statement = state(task, trials, training)
    for warning in statement.warnings:
        reporter.warn(warning.code, warning.message)
    write_graphs(task, statement, trials.data, reporter)
    manifest = write_manifest(job, task, statement)
    return Result(
        modality=task.preprocessing.modality,
        metrics=statement.metrics,
        manifest=manifest,
        artifacts=[store(storage, prefix, file) for file in sorted(task.folder.iterdir())],
    )


def prepare(
    job: JobRow, prefix: str, settings: Settings, storage: Storage, folder: Path, reporter: Reporter
) -> tuple[Task, Trials]:
    """All that is fixed before the training of a job, whose checkpoints go under `prefix`. Raises Stopped, BadData."""
    if settings.train_threads:
        torch.set_num_threads(settings.train_threads)
    materials = load(settings, job)
    task = make_task(job, materials, settings, storage, folder / "artifacts")
    tell_reductions(task, materials, reporter)
    data = load_data(task, materials, storage, folder, reporter)
    if any(together.leaders(reporter.should_stop)):
        raise Stopped
    trials = Trials(
        build=lambda: make_network(task, materials, storage),
        fresh=lambda: networks.build(task.network, task.preprocessing, task.specs, len(task.classes)),
        data=data,
        classes=len(task.classes),
        device=task.device,
        reporter=reporter,
        checkpoints=Checkpoints(storage, prefix, folder, digest_of_job(job)),
        checkpoint_seconds=settings.checkpoint_seconds,
    )
    return task, trials


def tell_reductions(task: Task, materials: Materials, reporter: Reporter) -> None:
    """Warn of what the network does not get to see of the source, or of the target where there is no source."""
    row = materials.source or materials.target
    if row is not None:
        for reduction in MODALITIES[materials.modality].reductions(task.network, profile_of(row)):
            reporter.warn("data_reduced", reduction)


def load_data(task: Task, materials: Materials, storage: Storage, folder: Path, reporter: Reporter) -> Data:
    """Encode the data sets. Labels of the target serve reports: the evaluation's, or those of a target that trains nothing."""

    def examples(row: DatasetRow | None, name: str, *, labelled: bool) -> Examples | None:
        return read(task, storage, row, folder / name, labelled=labelled) if row else None

    if task.params.needs_target and materials.target is None:
        raise BadData(f"`{task.params.algorithm}` needs a target data set.")
    evaluation = materials.evaluation
    if evaluation is None and not task.params.needs_target:
        evaluation = materials.target
    return make_data(
        examples(materials.source, "source", labelled=True),
        examples(materials.target, "target", labelled=False),
        examples(_comparable(task, evaluation, reporter), "evaluation", labelled=True),
        task.params,
    )


def _comparable(task: Task, evaluation: DatasetRow | None, reporter: Reporter) -> DatasetRow | None:
    """The data set, if its labels are the model's classes."""
    if evaluation is None or evaluation.classes is None:
        return None
    if unknown := sorted(set(evaluation.classes) - set(task.classes)):
        reporter.warn("unknown_classes", f"No accuracy on the target: the source has no class {', '.join(unknown[:5])}.")
        return None
    return evaluation


def train(trials: Trials, params: AlgorithmParams, offers: Offers) -> Training:
    """What the method gives, what the source alone gives where the method learns from a target, what a search tried."""
    if isinstance(params, AutoParams):
        reference, best, entries = search(trials, params, (0.0, TRAINING_SHARE), offers)
        chosen = best.trial if best and best.trial else reference
        return Training(chosen, reference, table(reference, params, entries, best), best.params if best else params)
    if not params.needs_target:
        return Training(trials.run(params.algorithm, params, (0.0, TRAINING_SHARE)), None, [], params)
    before = SOURCE_STEP * trials.reference_steps(params)
    turn = TRAINING_SHARE * before / (before + planned_steps(params, trials.data.rows(params)))
    reference = trials.reference(params, (0.0, turn))
    start = reference.weights if params.starts_trained else None
    trial = trials.run(params.algorithm, params, (turn, TRAINING_SHARE), start=start)
    return Training(trial, reference, [], params)


def example(data: Data) -> Inputs:
    """A few examples to trace the graph with."""
    examples = data.target if data.source is None else data.source
    assert examples is not None
    inputs, _ = examples.take(torch.arange(min(EXPORT_EXAMPLES, len(examples))), torch.device("cpu"))
    return inputs


def write_graphs(task: Task, statement: Statement, data: Data, reporter: Reporter) -> None:
    """The network's files, and the compact copy that the job may ask for: what is measured of that comes into the metrics."""
    graph, _ = export(statement.network, example(data), task.folder, task.specs, statement.temperature)
    copy = compact(task.params, graph, data)
    if copy is None:
        return
    statement.metrics["compact"] = copy
    if not copy["kept"]:
        lost = f"it loses {copy['lost']:.2%}, more than `compact_tolerance` allows ({copy['tolerance']:.2%})"
        reporter.warn("compact_not_kept", f"The version has no {copy['precision']} copy: {lost}.")


def write_manifest(job: JobRow, task: Task, statement: Statement) -> dict[str, Any]:
    manifest = {
        "format": 1,
        "job_id": str(job.id),
        "modality": task.preprocessing.modality,
        "preprocessing": task.preprocessing.model_dump(mode="json"),
        "classes": task.classes,
        "base": job.base,
        "network": networks.portable(task.network).model_dump(mode="json"),
        "algorithm": task.params.algorithm,
        "params": task.params.model_dump(mode="json"),
        "temperature": statement.temperature,
        "abstention_threshold": statement.abstention_threshold,
        "inputs": {name: {"dtype": spec.dtype, "shape": list(spec.shape)} for name, spec in task.specs.items()},
        "digests": {file.name: digest_of(file) for file in sorted(task.folder.iterdir())},
        "libraries": {name: version(name) for name in LIBRARIES},
        "metrics": statement.metrics,
    }
    (task.folder / MANIFEST_FILE).write_text(json.dumps(manifest, indent=1, sort_keys=True))
    return manifest


def store(storage: Storage, prefix: str, file: Path) -> StoredArtifact:
    stored = storage.put(f"{prefix}/artifacts/{file.name}", file)
    return StoredArtifact(name=file.name, storage_key=stored.key, digest=stored.digest, size_bytes=stored.size_bytes)


def digest_of_job(job: JobRow) -> str:
    """Of all that decides how the training goes; a checkpoint of another digest is refused."""
    ids = [str(key) for key in (job.source_id, job.target_id, job.base_version_id)]
    return sha256(json.dumps([job.params, job.base, ids], sort_keys=True).encode()).hexdigest()
