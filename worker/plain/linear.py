"""Multinomial logistic regression on dense columns and terms."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from worker.plain.data import Floats, Rows

MAX_ITERATIONS = 300
ABSENT = -30.0
"""Logit of a class that no row has."""


@dataclass(frozen=True, slots=True)
class LinearClassifier:
    """Weights (classes, d) of the columns, of the terms (classes, terms), and the intercept (classes,)."""

    weight: Floats
    intercept: Floats
    term_weight: Floats | None = None

    def logits(self, rows: Rows) -> Floats:
        """Return the logits (n, classes)."""
        logits: Floats = rows.columns @ self.weight.T + self.intercept
        return logits if rows.terms is None or self.term_weight is None else logits + rows.terms @ self.term_weight.T


@dataclass(frozen=True, slots=True)
class LinearOptions:
    """The strength of the regularisation, as in scikit-learn, whether all classes count alike, and a bound on the time."""

    inverse_regularization: float = 1.0
    class_balanced: bool = False
    max_iterations: int = MAX_ITERATIONS


def fit_linear(
    rows: Rows,
    labels: NDArray[np.int64],
    classes: int,
    options: LinearOptions,
    row_weights: Floats | None = None,
) -> LinearClassifier:
    """Fit a logistic regression on scaled rows; classes without rows are never predicted."""
    present, width = np.unique(labels), rows.columns.shape[1]
    weights = np.zeros((classes, width if rows.terms is None else width + rows.terms.shape[1]))
    intercept = np.full(classes, ABSENT)
    if len(present) == 1:
        intercept[present] = 0.0
    else:
        model = LogisticRegression(
            C=options.inverse_regularization,
            class_weight="balanced" if options.class_balanced else None,
            max_iter=options.max_iterations,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(_design(rows), labels, row_weights)
        is_binary = len(present) == 2
        weights[present] = np.vstack([-model.coef_ / 2, model.coef_ / 2]) if is_binary else model.coef_
        intercept[present] = np.concatenate([-model.intercept_ / 2, model.intercept_ / 2]) if is_binary else model.intercept_
    return LinearClassifier(weights[:, :width], intercept, None if rows.terms is None else weights[:, width:])


def _design(rows: Rows) -> Floats | csr_array:
    return rows.columns if rows.terms is None else csr_array(hstack([csr_array(rows.columns), rows.terms], format="csr"))
