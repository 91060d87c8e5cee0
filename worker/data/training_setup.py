"""What is fixed before the training starts: parameters, network, preprocessing, classes, device; and the reading of data sets."""

from dataclasses import dataclass
from pathlib import Path

import torch
from polars.exceptions import PolarsError
from pydantic import TypeAdapter
from safetensors.torch import load_file

from app.algorithms import AnyParams
from app.algorithms.base import AlgorithmParams
from app.artifacts import WEIGHTS_FILE
from app.db.tables import DatasetRow
from app.errors import InvalidInputs
from app.modalities import MODALITIES
from app.modalities.base import Encoder, Preprocessing, TensorSpec
from app.networks import AnyNetwork
from app.networks.base import NetworkParams
from app.storage import Storage
from worker import networks
from worker.data.attempt_context import AttemptContext
from worker.data.examples import EncodedDataset, UnknownLabel, encode
from worker.data.job_inputs import JobInputs, chunks
from worker.networks.base import Network
from worker.protocol.progress import BadData

MAX_GPU_MEMORY_FRACTION = 0.25
"""Of a GPU's free memory: data sets that take more stay on the CPU."""


@dataclass(frozen=True, slots=True)
class TrainingSetup:
    """What is fixed before the training starts. `folder` holds the version's files as they come.

    `temperature` and `abstention_threshold` are those of the version that the job starts from, for networks of a job that has no
    labels to find others.
    """

    params: AlgorithmParams
    network: NetworkParams
    preprocessing: Preprocessing
    specs: dict[str, TensorSpec]
    encoder: Encoder
    classes: list[str]
    device: torch.device
    folder: Path
    temperature: float
    abstention_threshold: float


def prepare_training(context: AttemptContext, materials: JobInputs) -> TrainingSetup:
    """Fit the preprocessing on the data that the job learns from, or take it over from the version that the job starts from."""
    job, storage, folder = context.training_job, context.storage, context.folder / "artifacts"
    folder.mkdir(parents=True, exist_ok=True)
    params = TypeAdapter[AlgorithmParams](AnyParams).validate_python(job.params)
    modality = MODALITIES[materials.modality]
    base = materials.base
    if base is None:
        network = TypeAdapter[NetworkParams](AnyNetwork).validate_python(job.base)
        source, target = chunks(storage, materials.source), chunks(storage, materials.target if params.needs_target else None)
        preprocessing = modality.fit(source, target, network, networks.checkpoint(network), folder)
    else:
        network = TypeAdapter[NetworkParams](AnyNetwork).validate_python(base.manifest.network)
        preprocessing = modality.preprocessing.model_validate(base.manifest.preprocessing)
        base.copy(storage, preprocessing.files, folder)
    return TrainingSetup(
        params=params,
        network=network,
        preprocessing=preprocessing,
        specs=modality.specs(preprocessing),
        encoder=modality.encoder(preprocessing, folder),
        classes=materials.classes,
        device=choose_device(context.settings.device),
        folder=folder,
        temperature=base.manifest.temperature if base else 1.0,
        abstention_threshold=base.manifest.abstention_threshold if base else 0.0,
    )


def choose_device(wanted: str) -> torch.device:
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def encode_dataset(
    task: TrainingSetup, storage: Storage, row: DatasetRow, folder: Path, *, labelled: bool = True
) -> EncodedDataset:
    """Encode a data set; on the GPU if it fits there. Raises BadData when it does not fit the preprocessing."""
    try:
        examples = encode(chunks(storage, row), task.encoder, task.specs, row.rows, task.classes if labelled else None, folder)
    except (InvalidInputs, UnknownLabel, PolarsError) as error:
        raise BadData(f"The data set {row.name!r} does not fit what the model takes: {error}") from error
    if task.device.type == "cuda" and examples.nbytes < MAX_GPU_MEMORY_FRACTION * torch.cuda.mem_get_info(task.device)[0]:
        return examples.to(task.device)
    return examples


def make_network(task: TrainingSetup, materials: JobInputs, storage: Storage) -> Network:
    """With the base version's weights if there is one; with a new head if its classes are others."""
    network = networks.build(task.network, task.preprocessing, task.specs, len(task.classes))
    if materials.base is not None:
        materials.base.copy(storage, [WEIGHTS_FILE], task.folder)
        weights = load_file(task.folder / WEIGHTS_FILE)
        if materials.base.manifest.classes != task.classes:
            own = {name: value for name, value in network.state_dict().items() if name.startswith("head.")}
            weights = {name: value for name, value in weights.items() if not name.startswith("head.")} | own
        network.load_state_dict(weights)
        network.forget_source_statistics()
    return network
