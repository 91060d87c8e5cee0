"""The steps of a job: load, fit or reuse the preprocessing, build, train, evaluate, export, store."""

import json
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from polars.exceptions import PolarsError
from pydantic import TypeAdapter
from safetensors.torch import load_file

from app.algorithms import AnyParams
from app.algorithms.base import AlgorithmParams
from app.db.tables import DatasetRow, JobRow
from app.errors import InvalidInputs
from app.modalities import MODALITIES
from app.modalities.base import Encoder, Preprocessing, TensorSpec
from app.networks import AnyNetwork
from app.networks.base import NetworkParams
from app.schemas.reports import Result, StoredArtifact
from app.settings import Settings
from app.storage import Storage, digest_of
from worker import algorithms, evaluate, networks
from worker.algorithms.base import Algorithm
from worker.batches import Batches, Examples, UnknownLabel, encode, split
from worker.checkpoints import Checkpoints, seed_everything
from worker.examiner import Examiner
from worker.export import WEIGHTS_FILE, export
from worker.materials import Materials, chunks, fetch_artifacts, load
from worker.networks.base import Network
from worker.reporter import BadData, Reporter, Stopped
from worker.selection import Selection
from worker.train import Run, train

MANIFEST_FILE = "manifest.json"
EXPORT_EXAMPLES = 8
RESIDENT_SHARE = 0.25
"""Of a GPU's free memory: data sets that take more stay on the CPU."""
LIBRARIES = ("isthmus", "numpy", "onnx", "onnxruntime", "polars", "torch", "transformers")


@dataclass(frozen=True, slots=True)
class Task:
    """What is fixed before the training starts. `folder` holds the version's files as they come."""

    params: AlgorithmParams
    network: NetworkParams
    preprocessing: Preprocessing
    specs: dict[str, TensorSpec]
    encoder: Encoder
    classes: list[str]
    device: torch.device
    folder: Path


def run(job: JobRow, attempt: int, settings: Settings, storage: Storage, folder: Path, reporter: Reporter) -> Result:
    """Run one attempt of a job, from its last checkpoint if it has one; `folder` is scratch.

    Raises Stopped, BadData, BadParameters (worker.reporter), InvalidDataset.
    """
    if settings.train_threads:
        torch.set_num_threads(settings.train_threads)
    prefix = f"jobs/{job.id}/{attempt}"
    materials = load(settings, job)
    task = make_task(job, materials, settings, storage, folder / "artifacts")
    source = read(task, storage, materials.source, folder / "source")
    target = read(task, storage, materials.target, folder / "target", labelled=False) if task.params.needs_target else None
    if reporter.should_stop:
        raise Stopped
    training, held_out = hold_out(source, task.params)

    seed_everything(task.params.seed)
    network = make_network(task, materials, storage).to(task.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    algorithm = algorithms.build(task.params, network, len(task.classes)).to(task.device)
    checkpoints = Checkpoints(storage, prefix, folder, digest_of_job(job))
    selection = Selection(chance(source, held_out), len(held_out))
    batches = Batches(source, target, train=training, params=task.params, device=task.device)
    examiner = Examiner(source, held_out, target, len(task.classes), task.device, task.params.seed)
    state = Run(algorithm, batches, examiner, selection, reporter, checkpoints, settings.checkpoint_seconds)
    resume(state, job.checkpoint)
    train(state)

    metrics = measure(task, algorithm, source, held_out, storage, materials, reporter) | {
        "steps": state.step,
        "kept_step": selection.step,
    }
    example, _ = source.take(training[:EXPORT_EXAMPLES], torch.device("cpu"))
    export(network, example, task.folder, task.specs)
    manifest = write_manifest(job, task, metrics)
    return Result(
        modality=materials.source.modality,
        metrics=metrics,
        manifest=manifest,
        artifacts=[store(storage, prefix, file) for file in sorted(task.folder.iterdir())],
    )


def make_task(job: JobRow, materials: Materials, settings: Settings, storage: Storage, folder: Path) -> Task:
    """Fit the preprocessing on the data that the job learns from, or take it over from the version that the job starts from."""
    folder.mkdir(parents=True, exist_ok=True)
    params = TypeAdapter[AlgorithmParams](AnyParams).validate_python(job.params)
    modality = MODALITIES[materials.source.modality]
    if materials.base is None:
        network = TypeAdapter[NetworkParams](AnyNetwork).validate_python(job.base)
        source, target = chunks(storage, materials.source), chunks(storage, materials.target if params.needs_target else None)
        preprocessing = modality.fit(source, target, network, networks.checkpoint(network), folder)
    else:
        network = TypeAdapter[NetworkParams](AnyNetwork).validate_python(materials.base.manifest["network"])
        preprocessing = modality.preprocessing.model_validate(materials.base.manifest["preprocessing"])
        fetch_artifacts(storage, materials.base, preprocessing.files, folder)
    return Task(
        params=params,
        network=network,
        preprocessing=preprocessing,
        specs=modality.specs(preprocessing),
        encoder=modality.encoder(preprocessing, folder),
        classes=materials.classes,
        device=choose_device(settings.device),
        folder=folder,
    )


def choose_device(wanted: str) -> torch.device:
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def read(task: Task, storage: Storage, row: DatasetRow | None, folder: Path, *, labelled: bool = True) -> Examples:
    """Encode a data set; on the GPU if it fits there. Raises BadData when it does not fit the preprocessing."""
    if row is None:
        raise BadData(f"`{task.params.algorithm}` needs a target data set.")
    try:
        examples = encode(chunks(storage, row), task.encoder, task.specs, row.rows, task.classes if labelled else None, folder)
    except (InvalidInputs, UnknownLabel, PolarsError) as error:
        raise BadData(f"The data set {row.name!r} does not fit what the model takes: {error}") from error
    if task.device.type == "cuda" and examples.nbytes < RESIDENT_SHARE * torch.cuda.mem_get_info(task.device)[0]:
        return examples.to(task.device)
    return examples


def hold_out(source: Examples, params: AlgorithmParams) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of the source to train on and to validate on. Raises BadData when every class has one example."""
    assert source.labels is not None
    training, held_out = split(source.labels.cpu(), params.validation_fraction, params.seed)
    if not len(held_out):
        raise BadData("The source has one example of each class: there is nothing left to validate on.")
    return training, held_out


def chance(source: Examples, held_out: torch.Tensor) -> float:
    """Share of the commonest class among the examples that are held out."""
    assert source.labels is not None
    return float(source.labels.cpu()[held_out].bincount().max()) / len(held_out)


def make_network(task: Task, materials: Materials, storage: Storage) -> Network:
    """With the base version's weights if there is one; with a new head if its classes are others."""
    network = networks.build(task.network, task.preprocessing, task.specs, len(task.classes))
    if materials.base is not None:
        fetch_artifacts(storage, materials.base, (WEIGHTS_FILE,), task.folder)
        weights = load_file(task.folder / WEIGHTS_FILE)
        if materials.base.manifest["classes"] != task.classes:
            own = {name: value for name, value in network.state_dict().items() if name.startswith("head.")}
            weights = {name: value for name, value in weights.items() if not name.startswith("head.")} | own
        network.load_state_dict(weights)
    return network


def resume(state: Run, checkpoint: str | None) -> None:
    """Go on from the checkpoint, or start again when it is gone."""
    if checkpoint is None:
        return
    try:
        state.load_state_dict(state.checkpoints.load(checkpoint)["run"])
    except FileNotFoundError:
        state.reporter.warn("checkpoint_missing", "The last checkpoint is gone; the training starts again from the beginning.")


def measure(
    task: Task,
    algorithm: Algorithm,
    source: Examples,
    held_out: torch.Tensor,
    storage: Storage,
    materials: Materials,
    reporter: Reporter,
) -> dict[str, Any]:
    """What the version reports: of the held-out source, and of labelled target data if there are any.

    These are the evaluation data or, for an algorithm that learns nothing from the target, a labelled target.
    """
    algorithm.eval()
    assert source.labels is not None
    with algorithm.network.source_statistics():
        predicted = evaluate.predict(algorithm.network, source, held_out, task.device)
    metrics = evaluate.report("source", source.labels.cpu()[held_out], predicted, task.classes)
    target = materials.evaluation
    if target is None and not task.params.needs_target:
        target = materials.target
    if target is None or target.classes is None:
        return metrics
    if unknown := sorted(set(target.classes) - set(task.classes)):
        reporter.warn("unknown_classes", f"No accuracy on the target: the source has no class {', '.join(unknown[:5])}.")
        return metrics
    examples = read(task, storage, target, task.folder.parent / "evaluation")
    assert examples.labels is not None
    predicted = evaluate.predict(algorithm.network, examples, torch.arange(len(examples)), task.device)
    return metrics | evaluate.report("target", examples.labels.cpu(), predicted, task.classes)


def write_manifest(job: JobRow, task: Task, metrics: dict[str, Any]) -> dict[str, Any]:
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
        "inputs": {name: {"dtype": spec.dtype, "shape": list(spec.shape)} for name, spec in task.specs.items()},
        "digests": {file.name: digest_of(file) for file in sorted(task.folder.iterdir())},
        "libraries": {name: version(name) for name in LIBRARIES},
        "metrics": metrics,
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
