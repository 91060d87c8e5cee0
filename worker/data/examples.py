"""Encoded datasets, in memory or mapped from files."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.formats.names import canonical_name
from app.modalities.base import Augmentable, Chunk, Encoded, Encoder, TensorSpec
from worker.networks.base import Inputs

IN_MEMORY_BYTES = 2 * 1024**3
UNLABELLED = -1


class UnknownLabelError(ValueError):
    """A label that is not among the classes."""


@dataclass(frozen=True, slots=True)
class EncodedDataset:
    """Encoded inputs, each (n, ...), and class numbers (n,) int64 where there are labels.

    `lengths` (n,), on the CPU, exist where the inputs' second axis varies: a batch is cut to its longest example.
    `augmentable` are the inputs that may be augmented, by name. `groups` (n,) are numbers of groups, on the CPU. `domains` (n,),
    on the CPU, are numbers of `domain_names` if there are several source domains; -1 is none of them.
    """

    inputs: Inputs
    labels: Tensor | None
    lengths: Tensor | None = None
    augmentable: Mapping[str, Augmentable] = field(default_factory=dict)
    groups: Tensor | None = None
    domains: Tensor | None = None
    domain_names: Sequence[str] = ()

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def gather(self, indices: Tensor, device: torch.device) -> tuple[Inputs, Tensor | None]:
        """Return these examples on the device; the data is indexed where it is stored."""
        inputs = {name: _take(values, indices, device) for name, values in self.inputs.items()}
        if self.lengths is not None:
            longest = int(self.lengths[indices].max())
            inputs = {name: values[:, :longest] for name, values in inputs.items()}
        return inputs, None if self.labels is None else _take(self.labels, indices, device)

    def to(self, device: torch.device) -> "EncodedDataset":
        """Return a copy on the device."""
        labels = None if self.labels is None else self.labels.to(device)
        inputs = {name: values.to(device) for name, values in self.inputs.items()}
        return replace(self, inputs=inputs, labels=labels)

    @property
    def nbytes(self) -> int:
        """The size of the inputs."""
        return sum(values.nbytes for values in self.inputs.values())


def _take(values: Tensor, indices: Tensor, device: torch.device) -> Tensor:
    return values[indices.to(values.device)].to(device, non_blocking=True)


def encode(
    chunks: Iterable[Chunk], encoder: Encoder, specs: dict[str, TensorSpec], rows: int, classes: list[str] | None, folder: Path
) -> EncodedDataset:
    """Encode all chunks into tensors: in memory, or mapped from files in `folder` beyond IN_MEMORY_BYTES.

    `classes` None leaves labels out. Otherwise examples without a label are left out. Raise UnknownLabelError.
    """
    numbers = {canonical_name(name) or name: number for number, name in enumerate(classes or ())}
    store, labels = _ColumnStore(specs, rows, folder), np.empty(rows if classes else 0, np.int64)
    groups, domains = _Numbers(), _Numbers()
    start = 0
    for chunk in chunks:
        groups.add(chunk.groups)
        domains.add(chunk.domains)
        store.add(start, encoder(chunk.inputs), chunk.rows)
        if classes and chunk.labels is not None:
            labels[start : start + chunk.rows] = _class_numbers(chunk.labels, numbers)
        start += chunk.rows
    inputs = {name: torch.from_numpy(array) for name, array in store.arrays.items()}
    augmentable = {name: spec.augmentable for name, spec in specs.items() if spec.augmentable}
    examples = EncodedDataset(
        inputs, torch.from_numpy(labels) if classes else None, store.lengths(), augmentable, groups.tensor()
    )
    if len(domains.names) > 1:
        examples = replace(examples, domains=domains.tensor(), domain_names=domains.names)
    return _labelled(examples) if classes and (labels == UNLABELLED).any() else examples


def _labelled(examples: EncodedDataset) -> EncodedDataset:
    """Return the examples with a label."""
    assert examples.labels is not None
    kept = (examples.labels != UNLABELLED).nonzero().squeeze(1)
    return replace(
        examples,
        inputs={name: values[kept] for name, values in examples.inputs.items()},
        labels=examples.labels[kept],
        lengths=None if examples.lengths is None else examples.lengths[kept],
        groups=None if examples.groups is None else examples.groups[kept],
        domains=None if examples.domains is None else examples.domains[kept],
    )


def _class_numbers(labels: Sequence[str | None], numbers: Mapping[str, int]) -> list[int]:
    try:
        return [numbers[label] if label else UNLABELLED for label in labels]
    except KeyError as error:
        raise UnknownLabelError(f"there is no class {error.args[0]!r}") from error


class _Numbers:
    """Numbers of the names of all examples, such as groups, if the chunks have such names."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._parts: list[NDArray[np.int64]] = []

    def add(self, names: Sequence[str] | None) -> None:
        if names is not None:
            numbers = [self._numbers.setdefault(name, len(self._numbers)) for name in names]
            self._parts.append(np.array(numbers, np.int64))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._numbers)

    def tensor(self) -> Tensor | None:
        return torch.from_numpy(np.concatenate(self._parts)) if self._parts else None


class _ColumnStore:
    """Arrays for `rows` examples; those with a second axis that varies grow along it."""

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
