"""Losses that compare features (n, d) of the source with features (m, d) of the target."""

import math

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from worker.losses.precision import in_float32

BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)


@in_float32
def coral(source: Tensor, target: Tensor) -> Tensor:
    """Compute |C_s - C_t|_F^2 / (4 d^2) from the covariances C of (n, d) and (m, d). Sun and Saenko, 2016."""
    difference = torch.cov(source.T) - torch.cov(target.T)
    return difference.square().sum() / (4 * source.shape[1] ** 2)


@in_float32
def squared_distances(one: Tensor, other: Tensor) -> Tensor:
    """Compute the squared Euclidean distances (n, m) of rows (n, d) and (m, d)."""
    lengths = one.square().sum(1, keepdim=True) + other.square().sum(1)
    return (lengths - 2 * one @ other.T).clamp(min=0)


@in_float32
def gaussian_kernel(values: Tensor, bandwidth: float) -> Tensor:
    """Compute exp(-|x_i - x_j|^2 / bandwidth), (n, n), of rows (n, d)."""
    return torch.exp(-squared_distances(values, values) / bandwidth)


@in_float32
def multi_bandwidth_gaussian_kernel(values: Tensor) -> Tensor:
    """Compute the mean of exp(-|x_i - x_j|^2 / (b m)), (n, n), over b = 1/4, 1/2, 1, 2, 4.

    m is the median of the squared distances between different rows of (n, d), without a gradient. Long et al., 2015.
    """
    distances = squared_distances(values, values)
    scale = distances.detach().clone().fill_diagonal_(math.nan).nanmedian().clamp(min=1e-6)
    return torch.stack([torch.exp(-distances / (bandwidth * scale)) for bandwidth in BANDWIDTHS]).mean(0)


@in_float32
def mmd_squared(kernel: Tensor, sources: int) -> Tensor:
    """Estimate the squared maximum mean discrepancy without bias: E k(s, s') + E k(t, t') - 2 E k(s, t).

    `kernel` (n + m, n + m) has the n `sources` first. The diagonal is excluded, so the value may be negative.
    Gretton et al., JMLR 2012.
    """
    within_source, within_target = kernel[:sources, :sources], kernel[sources:, sources:]
    return _off_diagonal_mean(within_source) + _off_diagonal_mean(within_target) - 2 * kernel[:sources, sources:].mean()


def _off_diagonal_mean(values: Tensor) -> Tensor:
    return (values.sum() - values.trace()) / (len(values) * (len(values) - 1))


def stepwise_norm(features: Tensor, step: float) -> Tensor:
    """Compute mean((|f| - (|f|_now + step))^2) of rows (n, d), without a gradient through |f|_now. Xu et al., 2019.

    The value is always step^2. Its gradient increases the norms of the features.
    """
    norms: Tensor = torch.linalg.vector_norm(features, dim=1)
    return (norms - (norms.detach() + step)).square().mean()


@in_float32
def largest_singular_values(features: Tensor, count: int) -> Tensor:
    """Sum the squares of the `count` largest singular values of (n, d). Chen et al., 2019."""
    return singular_values(features)[:count].square().sum()


def singular_values(values: Tensor) -> Tensor:
    """Compute the singular values of (n, d) in descending order. NaN counts as 0; the training loop reports divergence."""
    result: Tensor = torch.linalg.svdvals(values.nan_to_num())
    return result


def optimal_assignment(costs: Tensor) -> tuple[Tensor, Tensor]:
    """Solve the assignment problem of costs (n, m). Return row and column indices, each used at most once.

    For n = m this is the exact optimal transport plan of uniform masses. It is faster than 50 Sinkhorn iterations for batches
    of up to 1024. NaN counts as 0; the training loop reports divergence.
    """
    rows, columns = linear_sum_assignment(costs.detach().nan_to_num().cpu().numpy())
    return torch.from_numpy(rows).to(costs.device), torch.from_numpy(columns).to(costs.device)
