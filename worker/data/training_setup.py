"""The setup of a training (parameters, network, preprocessing, classes, device), and the encoding of datasets."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from polars.exceptions import PolarsError
from pydantic import TypeAdapter
from safetensors.torch import load_file

from app.algorithms import AnyParams
from app.algorithms.base import AlgorithmParams
from app.artifacts import WEIGHTS_FILE, Manifest
from app.errors import InvalidInputs
from app.modalities import MODALITIES
from app.modalities.base import Chunk, Encoder, Preprocessing, TensorSpec
from app.networks import AnyNetwork, plain_network
from app.networks.base import NetworkParams, PlainKind
from worker import networks
from worker.data.attempt_context import AttemptContext
from worker.data.examples import EncodedDataset, UnknownLabelError, encode
from worker.data.job_inputs import JobInputs, StoredDataset
from worker.data.splits import DomainData
from worker.data.uploaded_encoder import unpack_uploaded_encoder
from worker.networks.base import Inputs, Network
from worker.networks.layers import SOURCE_DOMAINS, DomainScaler
from worker.protocol.progress import BadData, BadParameters

EXAMPLE_ROWS = 8
MAX_GPU_MEMORY_FRACTION = 0.25
"""The fraction of a GPU's free memory that a dataset may take; larger ones stay on the CPU."""


NO_PLAIN_NETWORK = (
    "Linear models and boosted trees learn tables, texts or the features of a frozen encoder, and start from no version. Choose "
    "another algorithm or network."
)


@dataclass(frozen=True, slots=True)
class CachedFeatures:
    """The features of a frozen backbone, which training reads in place of the inputs.

    `encoder` computes them from raw inputs. `example` is a batch of the inputs, for the export.
    """

    encoder: Encoder
    specs: dict[str, TensorSpec]
    example: Inputs


@dataclass(frozen=True, slots=True)
class TrainingSetup:
    """The values that are fixed before the training starts. `folder` collects the version's files.

    `base` describes the version that the job starts from. Its weights are in `folder` until the export replaces them.
    `uncached_data` encodes the datasets without the cached features.
    """

    params: AlgorithmParams
    network: NetworkParams
    preprocessing: Preprocessing
    specs: dict[str, TensorSpec]
    encoder: Encoder
    classes: list[str]
    device: torch.device
    folder: Path
    base: Manifest | None
    cached: CachedFeatures | None = None
    uncached_data: Callable[[], DomainData] | None = None

    def network_of(self, kind: PlainKind | None) -> NetworkParams:
        """Return the parameters of the job's network, or of one for plain methods of this kind. Raise BadParameters."""
        if kind is None:
            return self.network
        plain = plain_network(self.network, self.preprocessing.modality, kind) if self.base is None else None
        if plain is None:
            raise BadParameters(NO_PLAIN_NETWORK)
        return plain

    @property
    def temperature(self) -> float:
        """The temperature of the base version, which a job without labels keeps."""
        return self.base.temperature if self.base else 1.0

    @property
    def abstention_threshold(self) -> float:
        """The threshold of the base version, which a job without labels keeps."""
        return self.base.abstention_threshold if self.base else 0.0


def prepare_training(context: AttemptContext, inputs: JobInputs, device: torch.device) -> TrainingSetup:
    """Fit the preprocessing on the job's data, or reuse that of the version that the job starts from."""
    job, folder = context.training_job, context.folder / "artifacts"
    folder.mkdir(parents=True, exist_ok=True)
    params = TypeAdapter[AlgorithmParams](AnyParams).validate_python(job.params)
    modality = MODALITIES[inputs.modality]
    base = inputs.base
    if base is None:
        network = TypeAdapter[NetworkParams](AnyNetwork).validate_python(job.base)
        unpack_uploaded_encoder(context, getattr(network, "pretrained", ""))
        target = inputs.target if params.needs_target else None
        source_chunks, target_chunks = _source_chunks(inputs), target.chunks() if target else ()
        preprocessing = modality.fit(source_chunks, target_chunks, network, networks.checkpoint(network), folder)
    else:
        network = TypeAdapter[NetworkParams](AnyNetwork).validate_python(base.manifest.network)
        preprocessing = modality.preprocessing.model_validate(base.manifest.preprocessing)
        base.copy(context.storage, [*preprocessing.files, WEIGHTS_FILE], folder)
    return TrainingSetup(
        params=params,
        network=network,
        preprocessing=preprocessing,
        specs=modality.specs(preprocessing),
        encoder=modality.encoder(preprocessing, folder),
        classes=inputs.classes,
        device=device,
        folder=folder,
        base=base.manifest if base else None,
    )


def _source_chunks(inputs: JobInputs) -> Iterable[Chunk]:
    """Yield the source without the inputs that the target does not have, which the model must not learn."""
    if inputs.source is None:
        return
    unshared = frozenset[str]()
    if inputs.target is not None:
        modality = MODALITIES[inputs.modality]
        unshared = frozenset(modality.unshared_inputs(inputs.source.profile, inputs.target.profile))
    for chunk in inputs.source.chunks():
        yield replace(chunk, unlearned=chunk.unlearned | unshared) if unshared else chunk


def choose_device(name: str) -> torch.device:
    """Return the device of this name; `auto` is a GPU if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def share_gpu(device: torch.device, jobs: int) -> None:
    """Limit this process to its part of a GPU that runs several jobs, so that each of them fits."""
    if device.type == "cuda" and jobs > 1:
        torch.cuda.set_per_process_memory_fraction(1 / jobs, device)


def encode_dataset(setup: TrainingSetup, dataset: StoredDataset, folder: Path, *, labelled: bool = True) -> EncodedDataset:
    """Encode a dataset, on the GPU if it fits there. Raise BadData when it does not match the preprocessing."""
    classes = setup.classes if labelled else None
    with _mismatch_is_bad_data(dataset):
        encoder, specs = (setup.cached.encoder, setup.cached.specs) if setup.cached else (setup.encoder, setup.specs)
        examples = encode(dataset.chunks(), encoder, specs, dataset.row.rows, classes, folder)
    fits = setup.device.type == "cuda" and examples.nbytes < MAX_GPU_MEMORY_FRACTION * _free_gpu_memory(setup.device)
    return examples.to(setup.device) if fits else examples


def _free_gpu_memory(device: torch.device) -> float:
    free, total = torch.cuda.mem_get_info(device)
    own_part: float = torch.cuda.get_per_process_memory_fraction(device)
    return min(free, own_part * total)


def encode_example(setup: TrainingSetup, dataset: StoredDataset) -> Inputs:
    """Return a few encoded examples, to trace a graph with. Raise BadData."""
    with _mismatch_is_bad_data(dataset):
        encoded = setup.encoder(next(dataset.chunks(EXAMPLE_ROWS)).inputs)
    return {name: torch.from_numpy(values) for name, values in encoded.items()}


@contextmanager
def _mismatch_is_bad_data(dataset: StoredDataset) -> Iterator[None]:
    try:
        yield
    except (InvalidInputs, UnknownLabelError, PolarsError) as error:
        raise BadData(f"The dataset {dataset.row.name!r} does not match the inputs of the model: {error}") from error


def make_network(setup: TrainingSetup) -> Network:
    """Build the network, with the base version's weights if there is one and a new head if the classes differ."""
    network = networks.build(setup.network, setup.preprocessing, setup.specs, len(setup.classes))
    if setup.base is not None:
        weights = load_file(setup.folder / WEIGHTS_FILE)
        if setup.base.classes != setup.classes:
            own = {name: value for name, value in network.state_dict().items() if name.startswith("head.")}
            weights = {name: value for name, value in weights.items() if not name.startswith("head.")} | own
        network.load_state_dict({name: value for name, value in weights.items() if not name.endswith(SOURCE_DOMAINS)})
        network.forget_source_statistics()
    return network


def make_plain_network(setup: TrainingSetup, source_domains: int, kind: PlainKind) -> Network:
    """Build a network of this kind for a plain method. Raise BadParameters if the job permits none."""
    params = setup.network_of(kind)
    network = networks.build(params, setup.preprocessing, setup.specs, len(setup.classes))
    if source_domains and isinstance(network.bottleneck, DomainScaler):
        network.bottleneck.add_source_domains(source_domains)
    return network
