"""Losses that compare features (n, d) of the source with features (m, d) of the target."""

import math

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from worker.losses.precision import in_float32

BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)


@in_float32
def coral(source: Tensor, target: Tensor) -> Tensor:
    """Squared Frobenius distance of the covariances of (n, d) and (m, d), over 4 d^2. Sun and Saenko, 2016."""
    difference = torch.cov(source.T) - torch.cov(target.T)
    return difference.square().sum() / (4 * source.shape[1] ** 2)


@in_float32
def squared_distances(one: Tensor, other: Tensor) -> Tensor:
    """(n, m): the squared Euclidean distances of rows (n, d) and (m, d)."""
    lengths = one.square().sum(1, keepdim=True) + other.square().sum(1)
    return (lengths - 2 * one @ other.T).clamp(min=0)


@in_float32
def gaussian_kernel(values: Tensor, bandwidth: float) -> Tensor:
    """(n, n): exp(-|x_i - x_j|^2 / bandwidth) of rows (n, d)."""
    return torch.exp(-squared_distances(values, values) / bandwidth)


@in_float32
def multi_bandwidth_gaussian_kernel(values: Tensor) -> Tensor:
    """(n, n): the mean of exp(-|x_i - x_j|^2 / (b m)) over b = 1/4, 1/2, 1, 2, 4, m the median of the squared distances.

    The median is taken over different rows of the (n, d), and no gradient flows through it. Long et al., 2015.
    """
    distances = squared_distances(values, values)
    scale = distances.detach().clone().fill_diagonal_(math.nan).nanmedian().clamp(min=1e-6)
    return torch.stack([torch.exp(-distances / (bandwidth * scale)) for bandwidth in BANDWIDTHS]).mean(0)


@in_float32
def mmd_squared(kernel: Tensor, sources: int) -> Tensor:
    """The unbiased estimate of the squared maximum mean discrepancy: E k(s, s') + E k(t, t') - 2 E k(s, t).

    `kernel` (n + m, n + m) has the n `sources` first; an example is never compared with itself, so the value may be negative.
    Gretton et al., JMLR 2012.
    """
    within_source, within_target = kernel[:sources, :sources], kernel[sources:, sources:]
    return _off_diagonal_mean(within_source) + _off_diagonal_mean(within_target) - 2 * kernel[:sources, sources:].mean()


def _off_diagonal_mean(values: Tensor) -> Tensor:
    """Of (n, n)."""
    return (values.sum() - values.trace()) / (len(values) * (len(values) - 1))


def stepwise_norm(features: Tensor, step: float) -> Tensor:
    """mean((|f| - (|f|_now + step))^2) of rows (n, d); |f|_now takes no gradient. Xu et al., 2019.

    The value is always step^2: only its gradient, which asks for longer features, says something.
    """
    norms: Tensor = torch.linalg.vector_norm(features, dim=1)
    return (norms - (norms.detach() + step)).square().mean()


@in_float32
def largest_singular_values(features: Tensor, count: int) -> Tensor:
    """Sum of the squares of the `count` largest singular values of (n, d). Chen et al., 2019."""
    return singular_values(features)[:count].square().sum()


def singular_values(values: Tensor) -> Tensor:
    """Of (n, d), the largest first. What is not a number counts as 0: the loop stops a run that diverges, and says so."""
    found: Tensor = torch.linalg.svdvals(values.nan_to_num())
    return found


def optimal_assignment(costs: Tensor) -> tuple[Tensor, Tensor]:
    """The optimal transport plan between two batches of costs (n, m): pairs of a row and a column, each used at most once.

    With n = m it is the exact plan of uniform masses, and cheaper than fifty steps of Sinkhorn's for batches up to 1024.
    A cost that is not a number counts as 0: the loop stops a run that diverges, and says so.
    """
    rows, columns = linear_sum_assignment(costs.detach().nan_to_num().cpu().numpy())
    return torch.from_numpy(rows).to(costs.device), torch.from_numpy(columns).to(costs.device)
