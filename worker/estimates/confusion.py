"""Confusion matrices as the cells that occur: at most as many as rows, whatever the number of classes."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

Classes = NDArray[np.int64]
Counts = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """Rows of each class (..., classes): with this label, with this prediction, and with both."""

    true: Counts
    predicted: Counts
    correct: Counts


@dataclass(frozen=True, slots=True)
class Confusion:
    """The cells (k,) that occur: true class, predicted class, and number of rows, in this order."""

    true: Classes
    predicted: Classes
    counts: Counts
    classes: int

    @classmethod
    def of(cls, labels: Classes, predicted: Classes, classes: int) -> Self:
        """Count the rows with labels (n,) and predicted classes (n,)."""
        cells, counts = np.unique(labels * classes + predicted, return_counts=True)
        return cls(*np.divmod(cells, classes), counts.astype(np.float64), classes)

    @property
    def rows(self) -> int:
        """Number of counted rows."""
        return int(self.counts.sum())

    def matrix(self) -> Counts:
        """Return the whole matrix (classes, classes) with one row for each true class."""
        matrix = np.zeros((self.classes, self.classes))
        matrix[self.true, self.predicted] = self.counts
        return matrix

    def class_counts(self) -> ClassCounts:
        """Return the rows of each class."""
        return counts_by_class(self.true, self.predicted, self.counts[None], self.classes)

    def largest_errors(self, count: int) -> "Confusion":
        """Return at most `count` cells with wrong predictions, those with the most rows first."""
        wrong = np.flatnonzero(self.true != self.predicted)
        chosen = wrong[np.argsort(-self.counts[wrong], kind="stable")[:count]]
        return Confusion(self.true[chosen], self.predicted[chosen], self.counts[chosen], self.classes)

    def table(self, names: list[str]) -> pl.DataFrame:
        """Return the cells with the names of their classes."""
        columns = {"true": self.true, "predicted": self.predicted}
        named = {key: [names[number] for number in numbers] for key, numbers in columns.items()}
        return pl.DataFrame({**named, "count": self.counts.astype(np.int64)})


def counts_by_class(true: Classes, predicted: Classes, counts: Counts, classes: int) -> ClassCounts:
    """Return the rows of each class (r, classes) in r tables with counts (r, k) of the same cells (k,)."""
    diagonal = true == predicted
    return ClassCounts(
        _summed(true, counts, classes), _summed(predicted, counts, classes), _summed(true[diagonal], counts[:, diagonal], classes)
    )


def _summed(numbers: Classes, counts: Counts, classes: int) -> Counts:
    tables = len(counts)
    cells = (np.arange(tables)[:, None] * classes + numbers).ravel()
    summed = np.bincount(cells, counts.ravel(), tables * classes).reshape(tables, classes)
    return np.asarray(summed, np.float64)
