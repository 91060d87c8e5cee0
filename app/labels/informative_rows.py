"""Rows whose labels would teach the most: small margins, far from one another (k-centre)."""

import numpy as np
from numpy.typing import NDArray

CANDIDATES_PER_ROW = 5
"""The rows with the smallest margins among which distant ones are chosen."""


def informative_rows(margin: NDArray[np.float64], components: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return positions of rows with small margins (n,) that are far from one another by their components (n, d).

    Sener and Savarese, ICLR 2018, choose the centres greedily, among all rows.
    """
    candidates = np.argsort(margin, kind="stable")[: CANDIDATES_PER_ROW * count]
    points = components[candidates].astype(np.float64)
    chosen = [0]
    nearest = _distances(points, 0)
    while len(chosen) < min(count, len(candidates)):
        nearest[chosen] = -1.0
        following = int(nearest.argmax())
        chosen.append(following)
        nearest = np.minimum(nearest, _distances(points, following))
    return candidates[chosen]


def _distances(points: NDArray[np.float64], index: int) -> NDArray[np.float64]:
    return np.asarray(((points - points[index]) ** 2).sum(axis=1))
