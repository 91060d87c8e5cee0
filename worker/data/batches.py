"""Encoded examples at hand, and endless shuffled batches of them.

The order of a stream is a pure function of (seed, stream, pass), so the only position to remember is the step: a resumed run
goes on with the very batch that was next. A batch may span the end of a pass, so there is no smaller last batch, and a
batch may be larger than the data set.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.algorithms.base import AlgorithmParams
from app.modalities.base import Chunk, Encoded, Encoder, TensorSpec
from worker.data.batch import Batch
from worker.networks.base import Inputs

IN_MEMORY_BYTES = 2 * 1024**3


class UnknownLabel(ValueError):
    """A label that is not among the classes."""


@dataclass(frozen=True, slots=True)
class EncodedDataset:
    """Encoded inputs, each (n, ...), and class numbers (n,) int64 where there are labels.

    `lengths` (n,), on the CPU, where the inputs' second axis varies: a batch is cut to its longest example.
    `augmentable` names the inputs that are images.
    """

    inputs: Inputs
    labels: Tensor | None
    lengths: Tensor | None = None
    augmentable: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def gather(self, indices: Tensor, device: torch.device) -> tuple[Inputs, Tensor | None]:
        """These examples on the device; the data are indexed where they are."""
        inputs = {name: _take(values, indices, device) for name, values in self.inputs.items()}
        if self.lengths is not None:
            longest = int(self.lengths[indices].max())
            inputs = {name: values[:, :longest] for name, values in inputs.items()}
        return inputs, None if self.labels is None else _take(self.labels, indices, device)

    def to(self, device: torch.device) -> "EncodedDataset":
        labels = None if self.labels is None else self.labels.to(device)
        inputs = {name: values.to(device) for name, values in self.inputs.items()}
        return replace(self, inputs=inputs, labels=labels)

    @property
    def nbytes(self) -> int:
        return sum(values.nbytes for values in self.inputs.values())


def _take(values: Tensor, indices: Tensor, device: torch.device) -> Tensor:
    return values[indices.to(values.device)].to(device, non_blocking=True)


def encode(
    chunks: Iterable[Chunk], encoder: Encoder, specs: dict[str, TensorSpec], rows: int, classes: list[str] | None, folder: Path
) -> EncodedDataset:
    """Encode all chunks into tensors: in memory, or mapped from files in `folder` when they take more than IN_MEMORY_BYTES.

    `classes` None leaves labels out. Raises UnknownLabel.
    """
    numbers = {name: number for number, name in enumerate(classes or ())}
    store, labels = _ColumnStore(specs, rows, folder), np.empty(rows if classes else 0, np.int64)
    done = 0
    for chunk in chunks:
        store.add(done, encoder(chunk.inputs), chunk.rows)
        if classes and chunk.labels is not None:
            labels[done : done + chunk.rows] = _numbers(chunk.labels, numbers)
        done += chunk.rows
    inputs = {name: torch.from_numpy(array) for name, array in store.arrays.items()}
    augmentable = frozenset(name for name, spec in specs.items() if spec.augmentable)
    return EncodedDataset(inputs, torch.from_numpy(labels) if classes else None, store.lengths(), augmentable)


def _numbers(labels: Sequence[str], numbers: Mapping[str, int]) -> list[int]:
    try:
        return [numbers[label] for label in labels]
    except KeyError as error:
        raise UnknownLabel(f"no class is called {error.args[0]!r}") from error


class _ColumnStore:
    """Arrays for `rows` examples that grow along the second axis where that varies."""

    def __init__(self, specs: dict[str, TensorSpec], rows: int, folder: Path) -> None:
        self._specs, self._rows, self._folder = specs, rows, folder
        self._width = 1
        self._padding_mask = next((name for name, spec in specs.items() if spec.marks_padding), None)
        self._lengths = torch.ones(rows, dtype=torch.int64)
        self.arrays = self._allocate()

    def add(self, start: int, encoded: Encoded, rows: int) -> None:
        widths = [values.shape[1] for name, values in encoded.items() if self._varies(name)]
        if max(widths, default=0) > self._width:
            self._widen(max(widths))
        for name, values in encoded.items():
            part = self.arrays[name][start : start + rows]
            (part[:, : values.shape[1]] if self._varies(name) else part)[...] = values
            if name == self._padding_mask and values.shape[1]:
                used = torch.from_numpy(values != 0) * torch.arange(1, values.shape[1] + 1)
                self._lengths[start : start + rows] = used.amax(1).clamp(min=1)

    def lengths(self) -> Tensor | None:
        return self._lengths if self._padding_mask else None

    def _varies(self, name: str) -> bool:
        return name in self._specs and -1 in self._specs[name].shape

    def _widen(self, width: int) -> None:
        old, old_width = self.arrays, self._width
        self._width = width
        self.arrays = self._allocate()
        for name in filter(self._varies, old):
            self.arrays[name][:, :old_width] = old[name]
        self.arrays |= {name: values for name, values in old.items() if not self._varies(name)}

    def _allocate(self) -> dict[str, NDArray[Any]]:
        shapes = {
            name: (self._rows, *(self._width if size == -1 else size for size in spec.shape))
            for name, spec in self._specs.items()
        }
        total = sum(math.prod(shape) * np.dtype(self._specs[name].dtype).itemsize for name, shape in shapes.items())
        if total <= IN_MEMORY_BYTES:
            return {name: np.zeros(shape, self._specs[name].dtype) for name, shape in shapes.items()}
        self._folder.mkdir(parents=True, exist_ok=True)
        paths = {name: self._folder / f"{name}-{self._width}.bin" for name in shapes}
        return {name: np.memmap(paths[name], self._specs[name].dtype, "w+", shape=shape) for name, shape in shapes.items()}


def split(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices to train on and to validate on: `fraction` of each class (at least one), at random."""
    generator = torch.Generator().manual_seed(seed)
    train, held_out = [], []
    for number in sorted(set(labels.tolist())):
        members = (labels == number).nonzero().squeeze(1)
        members = members[torch.randperm(len(members), generator=generator)]
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        held_out.append(members[:count])
        train.append(members[count:])
    return torch.cat(train).sort().values, torch.cat(held_out).sort().values


class ShuffledSampler:
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
            order = self._permutation(torch.Generator().manual_seed(int(seeds[0])))
            self._pass, self._order = number, self.indices[order]
        return self._order

    def _permutation(self, generator: torch.Generator) -> Tensor:
        return torch.randperm(len(self.indices), generator=generator)


class ClassBalancedSampler(ShuffledSampler):
    """Passes in which every class is drawn equally often, with replacement."""

    def __init__(self, indices: Tensor, labels: Tensor, size: int, seed: int, name: int) -> None:
        """`labels` (n,) of the `indices`."""
        super().__init__(indices, size, seed, name)
        self._weights = 1 / labels.bincount()[labels].double()

    def _permutation(self, generator: torch.Generator) -> Tensor:
        return torch.multinomial(self._weights, len(self.indices), replacement=True, generator=generator)


class PairedBatches:
    """Pairs of a source and a target batch for the steps of a run. `epochs` are passes over the larger of the two."""

    def __init__(
        self,
        source: EncodedDataset | None,
        target: EncodedDataset | None,
        *,
        train: Tensor,
        params: AlgorithmParams,
        device: torch.device,
        steps: int | None = None,
    ) -> None:
        """`train` are the indices of the source's examples to train on; a domain that the run needs nothing of is None.

        `steps` overrules what the parameters say.
        """
        self.source, self.target, self.device = source, target, device
        self._source_stream = _source_stream(source, train, params) if source else None
        self._target_stream = ShuffledSampler(torch.arange(len(target)), params.batch_size, params.seed, 1) if target else None
        larger = max(len(train) if source else 0, len(target) if target else 0)
        self.steps_per_epoch = math.ceil(larger / params.batch_size)
        self.steps = steps or num_steps(params, larger)
        self._augmentable = frozenset[str]().union(*(domain.augmentable for domain in (source, target) if domain))

    def from_step(self, step: int) -> Iterator[Batch]:
        """The batches of steps `step` + 1, `step` + 2, ... of this run."""
        for number in range(step, self.steps):
            yield self._batch(number)

    def _batch(self, number: int) -> Batch:
        source_x, source_y = self._take(self.source, self._source_stream, number)
        target_x, _ = self._take(self.target, self._target_stream, number)
        labels = torch.empty(0) if source_y is None else source_y
        return Batch(source_x, labels, target_x, number / self.steps, self._augmentable)

    def _take(self, examples: EncodedDataset | None, stream: ShuffledSampler | None, number: int) -> tuple[Inputs, Tensor | None]:
        return examples.gather(stream.batch(number), self.device) if examples and stream else ({}, None)


def num_steps(params: AlgorithmParams, rows: int) -> int:
    """Of a run whose larger data set has so many rows."""
    return max(params.epochs * math.ceil(rows / params.batch_size), params.min_steps)


def _source_stream(source: EncodedDataset, train: Tensor, params: AlgorithmParams) -> ShuffledSampler:
    if not params.class_balanced:
        return ShuffledSampler(train, params.batch_size, params.seed, 0)
    assert source.labels is not None
    return ClassBalancedSampler(train, source.labels.cpu()[train], params.batch_size, params.seed, 0)
