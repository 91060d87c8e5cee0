"""Labelled rows of a dataset, and the source and target made from them."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Random = np.random.Generator
Indices = NDArray[np.int64]

MAX_ROWS = 900
"""Rows of one side of a shift. More rows change few results and take longer."""
MIN_CLASS_ROWS = 8


@dataclass(frozen=True, slots=True)
class Rows:
    """Inputs and labels (n,). Inputs are a data frame, a list of texts, or an array of images or series.

    `groups` has columns (n,) that are not inputs, such as the site of a measurement.
    """

    inputs: Any
    labels: NDArray[np.str_]
    groups: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Indices) -> "Rows":
        """Return the rows at these positions."""
        inputs = [self.inputs[index] for index in indices] if isinstance(self.inputs, list) else self.inputs[indices]
        return Rows(inputs, self.labels[indices], {name: values[indices] for name, values in self.groups.items()})

    def with_inputs(self, inputs: Any) -> "Rows":
        """Return the same labels with other inputs."""
        return Rows(inputs, self.labels, self.groups)

    @property
    def classes(self) -> list[str]:
        """Names of the classes, sorted."""
        return sorted(set(self.labels.tolist()))


Domains = tuple[Rows, Rows]
Change = Callable[[Rows, Random], Domains]
"""Makes source and target from the rows of a dataset."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset that is held out as a whole. `changes` makes its shifts, by name.

    `family` joins datasets with common rows, which are held out together. `is_for_fitting` is false for data that only judges.
    """

    name: str
    modality: str
    load: Callable[[], Rows]
    changes: Mapping[str, Change]
    family: str = ""
    is_for_fitting: bool = True


@dataclass(frozen=True, slots=True)
class Shift:
    """A source and a target of a dataset."""

    dataset: Dataset
    name: str

    @property
    def key(self) -> str:
        """Unique name, which is also a file name."""
        return f"{self.dataset.name}--{self.name}"

    def make(self, seed: int) -> Domains:
        """Return source and target of at most MAX_ROWS rows each, with the classes of the source."""
        random = np.random.default_rng([seed, zlib.crc32(self.key.encode())])
        source, target = self.dataset.changes[self.name](self.dataset.load(), random)
        source, target = sample(source, MAX_ROWS, random), sample(target, MAX_ROWS, random)
        names, counts = np.unique(source.labels, return_counts=True)
        frequent = names[counts >= MIN_CLASS_ROWS]
        return _of_classes(source, frequent), _of_classes(target, frequent)


def sample(rows: Rows, count: int, random: Random) -> Rows:
    """Return at most `count` rows in random order."""
    return rows.take(random.permutation(len(rows))[:count])


def halves(rows: Rows, random: Random) -> Domains:
    """Return two disjoint random halves."""
    first, second = np.array_split(random.permutation(len(rows)), 2)
    return rows.take(first), rows.take(second)


def divide(rows: Rows, probability: NDArray[np.float64], random: Random) -> Domains:
    """Return source and target; `probability` (n,) is that of a row to be in the target."""
    is_target = random.random(len(rows)) < probability
    return rows.take(np.flatnonzero(~is_target)), rows.take(np.flatnonzero(is_target))


def by_group(name: str, source: Callable[[NDArray[Any]], Any], target: Callable[[NDArray[Any]], Any] | None = None) -> Change:
    """Return a change by a real column of the groups: conditions for source and target, by default all other rows."""

    def change(rows: Rows, random: Random) -> Domains:
        is_source = np.asarray(source(rows.groups[name]), bool)
        is_target = ~is_source if target is None else np.asarray(target(rows.groups[name]), bool)
        return rows.take(np.flatnonzero(is_source)), rows.take(np.flatnonzero(is_target))

    return change


def number_columns(frame: pl.DataFrame) -> list[str]:
    """Return the names of the columns with numbers of more than two values."""
    return [name for name in frame.columns if frame[name].dtype.is_numeric() and frame[name].n_unique() > 2]


def _of_classes(rows: Rows, names: NDArray[np.str_]) -> Rows:
    return rows.take(np.flatnonzero(np.isin(rows.labels, names)))
