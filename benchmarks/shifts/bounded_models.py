"""Ridge and logistic regression whose weights can be bounded by signs; scikit-learn has no such logistic regression."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

Floats = NDArray[np.float64]
Loss = Callable[[Floats], tuple[float, Floats]]


@dataclass(frozen=True, slots=True)
class Problem:
    """Standardised values (n, d) and weights of the rows (n,). Solutions (d + 1,) end with the intercept.

    `signs` (d,) are 1 for weights that must not be negative, -1 for those that must not be positive, and 0 for others.
    """

    matrix: Floats
    row_weights: Floats

    def values(self, solution: Floats) -> Floats:
        """Return the weighted sums (n,)."""
        sums: Floats = self.matrix @ solution[:-1] + solution[-1]
        return sums

    def ridge(self, wanted: Floats, ridge: float, signs: Floats) -> Floats:
        """Minimise the squared errors plus `ridge` times the squared weights."""

        def loss(solution: Floats) -> tuple[float, Floats]:
            errors = self.values(solution) - wanted
            return float((self.row_weights * errors**2).sum() / 2), self.row_weights * errors

        return self._minimise(loss, ridge, signs)

    def logistic(self, is_positive: NDArray[np.bool_], inverse_regularization: float, signs: Floats) -> Floats:
        """Minimise the logistic loss; `inverse_regularization` is C of scikit-learn."""
        side = np.where(is_positive, 1.0, -1.0)

        def loss(solution: Floats) -> tuple[float, Floats]:
            margins = side * self.values(solution)
            return float((self.row_weights * np.logaddexp(0, -margins)).sum()), -self.row_weights * side * expit(-margins)

        return self._minimise(loss, 1 / inverse_regularization, signs)

    def _minimise(self, loss: Loss, ridge: float, signs: Floats) -> Floats:
        def penalised(solution: Floats) -> tuple[float, Floats]:
            value, slopes = loss(solution)
            weights = solution[:-1]
            gradient = np.append(self.matrix.T @ slopes + ridge * weights, slopes.sum())
            return value + ridge / 2 * float(weights @ weights), gradient

        bounds = [(0.0 if sign > 0 else None, 0.0 if sign < 0 else None) for sign in signs]
        found = minimize(penalised, np.zeros(len(signs) + 1), jac=True, method="L-BFGS-B", bounds=[*bounds, (None, None)])
        solution: Floats = found.x
        return solution
