"""Tests of target predictions without target labels: students in the reverse direction, and agreement of neighbours.

A logistic regression learns the target with a candidate's predictions as labels. Its accuracy on the labelled source shows
whether the predictions teach the task (Zhong et al., ECML PKDD 2010). Its accuracy on other target rows shows whether the
predictions follow from the inputs. Both take well under a second.
"""

from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.decomposition import TruncatedSVD
from sklearn.neighbors import NearestNeighbors

from worker.plain.data import PlainData, Rows, fit_scale, take
from worker.plain.linear import MAX_ITERATIONS, LinearOptions, fit_linear

STUDENT_REGULARIZATION = 0.1
MIN_ITERATIONS, MAX_ITERATION_VALUES = 10, 60_000_000
"""Rows times classes of all iterations of a student, so that one with many classes takes fewer iterations."""
LEARNING_FRACTION = 0.75
"""Fraction of the target rows that the student learns; the others measure it."""
NEIGHBOURS, MAX_DENSE_COLUMNS = 5, 64

Classes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ReverseScores:
    """Scores from 0 to 1 of predictions for the target.

    `same_scale` and `own_scale` are the student's source accuracy, with the columns scaled by the target and by each domain.
    `learnable` is its agreement with the predictions on other target rows, `neighbours` that of the nearest target rows.
    """

    same_scale: float
    own_scale: float
    learnable: float
    neighbours: float


UNTESTED = ReverseScores(nan, nan, nan, nan)
"""Scores of predictions that were not tested, such as those of a job without a source."""


class ReverseValidation:
    """The rows of a task, prepared once to test the predictions of several candidates."""

    def __init__(self, data: PlainData, seed: int = 0) -> None:
        self._labels, self._classes = data.labels, data.classes
        source_scale, target_scale = fit_scale(data.source, data.alignable), fit_scale(data.target_rows, data.alignable)
        self._source = target_scale.apply(data.source), source_scale.apply(data.source)
        self._target = target_scale.apply(data.target_rows)
        self._is_learned = np.random.default_rng(seed).random(len(self._target)) < LEARNING_FRACTION
        self._neighbours = _nearest(self._target)

    def scores(self, predicted: Classes) -> ReverseScores:
        """Return the scores of predicted target classes (m,)."""
        learned = take(self._target, self._is_learned)
        student = fit_linear(learned, predicted[self._is_learned], self._classes, self._options(len(learned)))
        same, own = (float((student.logits(rows).argmax(axis=1) == self._labels).mean()) for rows in self._source)
        others = take(self._target, ~self._is_learned)
        learnable = (student.logits(others).argmax(axis=1) == predicted[~self._is_learned]).mean()
        agreement = (predicted[self._neighbours] == predicted[:, None]).mean()
        return ReverseScores(same, own, float(learnable), float(agreement))

    def _options(self, rows: int) -> LinearOptions:
        affordable = MAX_ITERATION_VALUES // (rows * self._classes)
        return LinearOptions(STUDENT_REGULARIZATION, max_iterations=min(MAX_ITERATIONS, max(MIN_ITERATIONS, affordable)))


def _nearest(rows: Rows) -> Classes:
    """Return the positions (m, NEIGHBOURS) of the nearest other rows."""
    columns = rows.columns
    if rows.terms is not None:
        columns = np.hstack([columns, _reduced(rows.terms)])
    count = min(NEIGHBOURS, len(columns) - 1)
    nearest: Classes = NearestNeighbors(n_neighbors=count).fit(columns).kneighbors(return_distance=False)
    return nearest


def _reduced(terms: csr_array) -> NDArray[np.float64]:
    count = min(MAX_DENSE_COLUMNS, min(terms.shape) - 1)
    reduced: NDArray[np.float64] = TruncatedSVD(count, random_state=0).fit_transform(terms)
    return reduced
