"""Encoded examples of a task, read as in a job, once for all its runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import TypeAdapter

from app.formats.class_labels import in_order
from app.modalities.base import Chunk, DatasetFile, Modality
from app.networks import AnyNetwork, default_network, plain_network
from app.networks.base import NetworkParams, PlainKind
from app.schemas.datasets import DatasetCreate
from app.services.format_detection import detect_format
from benchmarks.adaptation.tasks import Task
from worker import networks
from worker.data.examples import EncodedDataset, encode
from worker.networks.base import Network
from worker.protocol.progress import BadParameters

SKEW_FRACTION = 0.15
"""Fraction of examples kept of the reduced classes of a skewed target."""

RowMask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class EncodedTask:
    """The examples of a task and the parameters of its network."""

    source: EncodedDataset
    target: EncodedDataset
    evaluation: EncodedDataset
    classes: list[str]
    build: Callable[[], Network]
    build_plain: Callable[[PlainKind], Network]


@dataclass(frozen=True, slots=True)
class RawDataset:
    """A dataset in memory, as its modality reads it."""

    modality: Modality
    chunks: list[Chunk]

    @property
    def labels(self) -> list[str] | None:
        """Return the labels, or None without labels."""
        names = [label for chunk in self.chunks for label in chunk.labels or () if label]
        return names or None

    def __len__(self) -> int:
        return sum(chunk.rows for chunk in self.chunks)

    def where(self, chosen: RowMask) -> "RawDataset":
        parts = np.split(chosen, np.cumsum([chunk.rows for chunk in self.chunks])[:-1])
        return RawDataset(
            self.modality, [_select_rows(chunk, part) for chunk, part in zip(self.chunks, parts, strict=True) if part.any()]
        )


@cache
def encode_task(task: Task, skewed: bool) -> EncodedTask:
    """Encode all examples of a task. Raise InvalidDataset, InvalidRequest, or ValueError without evaluation labels."""
    source, target, evaluation = (read_dataset(path) for path in task.files)
    if skewed:
        target, evaluation = _skewed(task, target, evaluation)
    network = _network(task, source.modality)
    classes = in_order(set(source.labels or ()))
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        preprocessing = source.modality.fit(source.chunks, target.chunks, network, networks.checkpoint(network), folder)
        specs, encoder = source.modality.specs(preprocessing), source.modality.encoder(preprocessing, folder)

        def examples(data: RawDataset, names: list[str] | None) -> EncodedDataset:
            return encode(data.chunks, encoder, specs, len(data), names, folder)

        def build_plain(kind: PlainKind) -> Network:
            plain = plain_network(network, source.modality.name, kind)
            if plain is None:
                raise BadParameters(f"There is no {kind} model for this task.")
            return networks.build(plain, preprocessing, specs, len(classes))

        return EncodedTask(
            examples(source, classes),
            examples(target, None),
            examples(evaluation, classes),
            classes,
            lambda: networks.build(network, preprocessing, specs, len(classes)),
            build_plain,
        )


@cache
def read_dataset(path: Path) -> RawDataset:
    """Check and read a file like an upload."""
    detected = detect_format(path, path.name, DatasetCreate(name=path.stem))
    profile = detected.modality.check(path, detected.format, detected.options)
    file = DatasetFile(path, detected.format, detected.options, profile.classes is not None, profile.details)
    return RawDataset(detected.modality, list(detected.modality.chunks(file)))


def _network(task: Task, modality: Modality) -> NetworkParams:
    if task.network is None:
        return default_network(modality.name)
    return TypeAdapter[NetworkParams](AnyNetwork).validate_python(task.network)


def _skewed(task: Task, target: RawDataset, evaluation: RawDataset) -> tuple[RawDataset, RawDataset]:
    kept = kept_rows(_labels(evaluation))
    if task.transductive:
        return (evaluation.where(kept),) * 2
    if target.labels is not None:
        return target.where(kept_rows(target.labels)), evaluation.where(kept)
    half = np.random.default_rng(1).random(len(kept)) < 0.5  # another seed, so that the selection does not determine the half
    return evaluation.where(kept & half), evaluation.where(kept & ~half)


def _labels(data: RawDataset) -> list[str]:
    if data.labels is None:
        raise ValueError("The evaluation dataset has no labels. Use a labelled file.")
    return data.labels


def kept_rows(labels: Sequence[str]) -> RowMask:
    """Return a mask (n,): all examples of the first half of the classes and a random fraction KEPT of the others."""
    names = in_order(set(labels))
    rare = np.isin(np.asarray(labels), names[(len(names) + 1) // 2 :])
    stays: RowMask = ~rare | (np.random.default_rng(0).random(len(labels)) < SKEW_FRACTION)
    return stays


def _select_rows(chunk: Chunk, chosen: RowMask) -> Chunk:
    inputs = chunk.inputs
    if isinstance(inputs, pl.DataFrame):
        inputs = inputs.filter(chosen)
    else:
        inputs = [one for one, stays in zip(inputs, chosen, strict=True) if stays]
    labels = chunk.labels and [label for label, stays in zip(chunk.labels, chosen, strict=True) if stays]
    return Chunk(inputs, labels, int(chosen.sum()))
