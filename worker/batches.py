"""Encoded examples at hand, and endless shuffled batches of them.

The order of a stream is a pure function of (seed, stream, pass), so the only position to remember is the step: a resumed run
goes on with the very batch that was next. A batch may span the end of a pass, so there is no smaller last batch, and a
batch may be larger than the data set.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from app.modalities.base import Chunk, Encoder, TensorSpec
from worker.algorithms.base import Batch
from worker.networks.base import Inputs

RESIDENT_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Examples:
    """Encoded inputs, each (n, ...), and class numbers (n,) int64 where there are labels."""

    inputs: Inputs
    labels: Tensor | None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def take(self, indices: Tensor, device: torch.device) -> tuple[Inputs, Tensor | None]:
        """These examples on the device; the data are indexed where they are."""
        inputs = {name: _take(values, indices, device) for name, values in self.inputs.items()}
        return inputs, None if self.labels is None else _take(self.labels, indices, device)

    def to(self, device: torch.device) -> "Examples":
        labels = None if self.labels is None else self.labels.to(device)
        return Examples({name: values.to(device) for name, values in self.inputs.items()}, labels)

    @property
    def nbytes(self) -> int:
        return sum(values.nbytes for values in self.inputs.values())


def _take(values: Tensor, indices: Tensor, device: torch.device) -> Tensor:
    return values[indices.to(values.device)].to(device, non_blocking=True)


def encode(
    chunks: Iterable[Chunk], encoder: Encoder, specs: dict[str, TensorSpec], rows: int, classes: list[str] | None, folder: Path
) -> Examples:
    """Encode all chunks into tensors: in memory, or mapped from files in `folder` when they take more than RESIDENT_BYTES.

    `classes` None leaves labels out. Raises KeyError for a label that is not among the classes.
    """
    arrays = _allocate(specs, rows, folder)
    numbers = {name: number for number, name in enumerate(classes or ())}
    labels = np.empty(rows if classes else 0, np.int64)
    done = 0
    for chunk in chunks:
        part = slice(done, done + chunk.rows)
        for name, values in encoder(chunk.inputs).items():
            arrays[name][part] = values
        if classes and chunk.labels is not None:
            labels[part] = [numbers[label] for label in chunk.labels]
        done += chunk.rows
    inputs = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return Examples(inputs, torch.from_numpy(labels) if classes else None)


def _allocate(specs: dict[str, TensorSpec], rows: int, folder: Path) -> "dict[str, np.ndarray]":
    sizes = {name: rows * math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for name, spec in specs.items()}
    if sum(sizes.values()) <= RESIDENT_BYTES:
        return {name: np.empty((rows, *spec.shape), spec.dtype) for name, spec in specs.items()}
    folder.mkdir(parents=True, exist_ok=True)
    return {name: np.memmap(folder / f"{name}.bin", spec.dtype, "w+", shape=(rows, *spec.shape)) for name, spec in specs.items()}


def split(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices to train on and to validate on: `fraction` of each class, at random; a class never loses its only example."""
    generator = torch.Generator().manual_seed(seed)
    train, held_out = [], []
    for number in labels.unique().tolist():
        members = (labels == number).nonzero().squeeze(1)
        members = members[torch.randperm(len(members), generator=generator)]
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        held_out.append(members[:count])
        train.append(members[count:])
    return torch.cat(train).sort().values, torch.cat(held_out).sort().values


class Stream:
    """Endless shuffled passes over `indices`, cut into batches of `size`."""

    def __init__(self, indices: Tensor, size: int, seed: int, name: int) -> None:
        self.indices, self.size = indices, size
        self._seed, self._name = seed, name
        self._pass, self._order = -1, indices

    def batch(self, step: int) -> Tensor:
        """The indices (size,) of this step's examples."""
        parts, start, missing = [], step * self.size, self.size
        while missing:
            number, offset = divmod(start, len(self.indices))
            part = self._shuffled(number)[offset : offset + missing]
            parts.append(part)
            start, missing = start + len(part), missing - len(part)
        return torch.cat(parts)

    def _shuffled(self, number: int) -> Tensor:
        if number != self._pass:
            seeds = np.random.SeedSequence([self._seed, self._name, number]).generate_state(1)
            order = torch.randperm(len(self.indices), generator=torch.Generator().manual_seed(int(seeds[0])))
            self._pass, self._order = number, self.indices[order]
        return self._order


class Batches:
    """Pairs of a source and a target batch for the steps of a run. `epochs` are passes over the larger of the two."""

    def __init__(
        self,
        source: Examples,
        target: Examples | None,
        *,
        train: Tensor,
        batch_size: int,
        epochs: int,
        minimum_steps: int,
        seed: int,
        device: torch.device,
    ) -> None:
        """`train` are the indices of the source's examples to train on."""
        self.source, self.target, self.device = source, target, device
        self._source_stream = Stream(train, batch_size, seed, 0)
        self._target_stream = Stream(torch.arange(len(target)), batch_size, seed, 1) if target else None
        larger = max(len(train), len(target) if target else 0)
        self.steps_of_epoch = math.ceil(larger / batch_size)
        self.steps = max(epochs * self.steps_of_epoch, minimum_steps)

    def after(self, step: int) -> Iterator[Batch]:
        """The batches of steps `step` + 1, `step` + 2, ... of this run."""
        for number in range(step, self.steps):
            yield self._batch(number)

    def _batch(self, number: int) -> Batch:
        source_x, source_y = self.source.take(self._source_stream.batch(number), self.device)
        assert source_y is not None
        target_x = None
        if self.target and self._target_stream:
            target_x, _ = self.target.take(self._target_stream.batch(number), self.device)
        return Batch(source_x, source_y, target_x, number / self.steps)
