"""Fitted plain models: a scale of each domain and a classifier."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.serving.probabilities import softmax
from worker.plain.data import Floats, Rows, Scale


class Classifier(Protocol):
    """Maps scaled columns, and the terms of the rows, to logits (n, classes)."""

    def logits(self, rows: Rows) -> Floats:
        """Return the logits (n, classes)."""


@dataclass(frozen=True, slots=True)
class PlainModel:
    """A classifier with the scale of each domain. `source_map` (d, d) moves scaled source columns to the target's."""

    source_scale: Scale
    target_scale: Scale
    classifier: Classifier
    source_map: Floats | None = None

    def source_probabilities(self, rows: Rows) -> NDArray[np.float64]:
        """Return the probabilities (n, classes) of source rows."""
        return self._probabilities(mapped(self.source_scale.apply(rows), self.source_map))

    def target_probabilities(self, rows: Rows) -> NDArray[np.float64]:
        """Return the probabilities (n, classes) of target rows."""
        return self._probabilities(self.target_scale.apply(rows))

    def _probabilities(self, scaled: Rows) -> NDArray[np.float64]:
        return softmax(np.asarray(self.classifier.logits(scaled), np.float64))


def mapped(rows: Rows, matrix: Floats | None) -> Rows:
    """Return the rows with mapped columns."""
    return rows if matrix is None else Rows(rows.columns @ matrix, rows.terms)
