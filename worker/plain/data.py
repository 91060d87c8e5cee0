"""The data that plain models learn from, and the scaling of its columns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

Floats = NDArray[np.floating[Any]]
MIN_DEVIATION = 1e-6
"""A column that varies less is constant in its domain."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a domain: dense columns (n, d), and weights of terms (n, terms) where there are texts.

    `domains` (n,) are numbers of source domains if there are several; -1 is none of them.
    """

    columns: Floats
    terms: csr_array | None = None
    domains: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.columns)


def join(parts: Sequence[Rows]) -> Rows:
    """Return the rows of all parts."""
    terms = [part.terms for part in parts if part.terms is not None]
    columns = np.concatenate([part.columns for part in parts])
    return Rows(columns, csr_array(vstack(terms, format="csr")) if terms else None)


def take(rows: Rows, chosen: NDArray[np.bool_]) -> Rows:
    """Return the chosen rows."""
    return Rows(rows.columns[chosen], None if rows.terms is None else rows.terms[np.flatnonzero(chosen)])


@dataclass(frozen=True, slots=True)
class PlainData:
    """Labelled source rows and target rows.

    `alignable` (d,) marks the columns that may be scaled per domain: numbers and features, but not indicators. `target` is None
    for methods that do not need it.
    """

    source: Rows
    labels: NDArray[np.int64]
    target: Rows | None
    classes: int
    alignable: NDArray[np.bool_]

    @property
    def target_rows(self) -> Rows:
        """The target, of a method that needs it."""
        assert self.target is not None
        return self.target


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean and deviation (d,) that standardise columns (n, d).

    `domains` are the scales of the source domains if each has its own.
    """

    mean: Floats
    std: Floats
    domains: tuple["Scale", ...] = ()

    def apply(self, rows: Rows) -> Rows:
        """Return the rows with standardised columns."""
        columns: Floats = (rows.columns - self.mean) / self.std
        for number, scale in enumerate(self.domains if rows.domains is not None else ()):
            chosen = rows.domains == number
            columns[chosen] = (rows.columns[chosen] - scale.mean) / scale.std
        return Rows(columns, rows.terms)


def fit_source_scale(data: PlainData) -> Scale:
    """Return the scale of the source; each of several source domains has its own."""
    rows, pooled = data.source, fit_scale(data.source, data.alignable)
    if rows.domains is None:
        return pooled
    parts = [Rows(rows.columns[rows.domains == number]) for number in range(int(rows.domains.max()) + 1)]
    return replace(pooled, domains=tuple(fit_scale(part, data.alignable) if len(part) else pooled for part in parts))


def fit_scale(rows: Rows, alignable: NDArray[np.bool_]) -> Scale:
    """Return the scale of a domain, which leaves the columns that are not alignable as they are."""
    columns = rows.columns
    mean, std = columns.mean(axis=0, dtype=np.float64), columns.std(axis=0, dtype=np.float64)
    return Scale(np.where(alignable, mean, 0.0), np.where(alignable & (std > MIN_DEVIATION), std, 1.0))
