"""Least squares over distributions, by an accelerated projected gradient.

Beck and Teboulle, 2009, https://doi.org/10.1137/080716542 (FISTA). The projection is that of Duchi et al., ICML 2008,
https://doi.org/10.1145/1390156.1390191.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Product = Callable[[Vector], Vector]

MAX_ITERATIONS, TOLERANCE = 2000, 1e-7
POWER_ITERATIONS, MARGIN = 20, 1.5
"""Steps that estimate the largest singular value, and the factor for their error."""


def on_simplex(forward: Product, backward: Product, right: Vector, prior: Vector, ridge: float) -> Vector:
    """Return the distribution p that minimises |A p - right|^2 + ridge |p - prior|^2.

    `forward` multiplies by A, `backward` by its transpose.
    """
    step = 1 / (MARGIN * _largest_eigenvalue(lambda values: backward(forward(values)), len(prior)) + ridge)
    current = ahead = prior
    momentum = 1.0
    for _ in range(MAX_ITERATIONS):
        gradient = backward(forward(ahead) - right) + ridge * (ahead - prior)
        following = project(ahead - step * gradient)
        if float(np.abs(following - current).sum()) < TOLERANCE:
            return following
        if float((ahead - following) @ (following - current)) > 0:  # O'Donoghue and Candes, 2015: the momentum overshoots
            momentum = 1.0
        previous, momentum = momentum, (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = following + (previous - 1) / momentum * (following - current)
        current = following
    return current


def project(values: Vector) -> Vector:
    """Return the distribution (n,) that is nearest to the values (n,)."""
    ordered = np.sort(values)[::-1]
    shifts = (ordered.cumsum() - 1) / np.arange(1, len(values) + 1)
    shift = float(shifts[np.flatnonzero(ordered > shifts)[-1]])
    return np.asarray(np.maximum(values - shift, 0))


def _largest_eigenvalue(product: Product, size: int) -> float:
    vector, length = np.full(size, 1 / np.sqrt(size)), 0.0
    for _ in range(POWER_ITERATIONS):
        vector = product(vector)
        length = float(np.linalg.norm(vector))
        vector = vector / max(length, np.finfo(float).tiny)
    return length
