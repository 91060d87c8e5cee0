"""Maps (d, d) from the columns of the source to those of the target, both standardised."""

import numpy as np

from worker.plain.data import Floats

MAX_COLUMNS = 2048
EXPLAINED_VARIANCE = 0.9


def coral_map(source: Floats, target: Floats, ridge: float) -> Floats:
    """Return (C_s + ridge I)^-1/2 (C_t + ridge I)^1/2, C the covariances: Sun, Feng and Saenko, AAAI 2016."""
    return _power(_covariance(source), ridge, -0.5) @ _power(_covariance(target), ridge, 0.5)


def subspace_map(source: Floats, target: Floats) -> Floats:
    """Return P_s P_s^T P_t P_t^T, P the principal axes: Fernando et al., ICCV 2013.

    Target columns need no map: weights learned on mapped rows lie in the span of P_t.
    """
    first, second = _principal_axes(source), _principal_axes(target)
    count = min(first.shape[1], second.shape[1])
    first, second = first[:, :count], second[:, :count]
    aligned: Floats = first @ (first.T @ second) @ second.T
    return aligned


def _covariance(columns: Floats) -> Floats:
    centred = columns - columns.mean(axis=0)
    covariance: Floats = (centred.T @ centred) / max(1, len(columns) - 1)
    return covariance


def _power(covariance: Floats, ridge: float, exponent: float) -> Floats:
    values, axes = np.linalg.eigh(covariance)
    powered: Floats = (axes * (np.maximum(values, 0) + ridge) ** exponent) @ axes.T
    return powered


def _principal_axes(columns: Floats) -> Floats:
    values, axes = np.linalg.eigh(_covariance(columns))
    values, axes = np.maximum(values[::-1], 0), axes[:, ::-1]
    explained = np.cumsum(values) / max(values.sum(), 1e-12)
    return axes[:, : int(np.searchsorted(explained, EXPLAINED_VARIANCE)) + 1]
