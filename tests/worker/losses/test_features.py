import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from worker.losses import features

Doubles = NDArray[np.float64]
RANDOM = np.random.default_rng(0)
SOURCE, TARGET = RANDOM.normal(size=(9, 4)), RANDOM.normal(size=(7, 4)) * 1.5 + 0.5


def tensor(values: Doubles) -> Tensor:
    return torch.from_numpy(values)


def distances(one: Doubles, other: Doubles) -> Doubles:
    return np.square(one[:, None] - other[None]).sum(axis=2)  # type: ignore[no-any-return]


def test_coral_is_the_squared_distance_of_covariances() -> None:
    difference = np.cov(SOURCE.T) - np.cov(TARGET.T)
    assert float(features.coral(tensor(SOURCE), tensor(TARGET))) == pytest.approx((difference**2).sum() / (4 * 4**2))


def test_squared_distances_equal_numpy_and_are_never_negative() -> None:
    np.testing.assert_allclose(features.squared_distances(tensor(SOURCE), tensor(TARGET)).numpy(), distances(SOURCE, TARGET))
    far = torch.full((3, 2), 1e4) + torch.tensor([[0.0], [1e-3], [2e-3]])
    assert (features.squared_distances(far, far) >= 0).all()


def test_gaussian_kernel_divides_the_exponent_by_the_bandwidth() -> None:
    np.testing.assert_allclose(features.gaussian_kernel(tensor(SOURCE), 1.68).numpy(), np.exp(-distances(SOURCE, SOURCE) / 1.68))


def test_multi_bandwidth_kernel_averages_five_bandwidths_around_the_median() -> None:
    squared = distances(SOURCE, SOURCE)
    pairs = np.sort([squared[i, j] for i, j in itertools.combinations(range(9), 2)])
    scale = pairs[(len(pairs) - 1) // 2]
    expected = np.mean([np.exp(-squared / (factor * scale)) for factor in (0.25, 0.5, 1, 2, 4)], axis=0)
    np.testing.assert_allclose(features.multi_bandwidth_gaussian_kernel(tensor(SOURCE)).numpy(), expected)
    assert features.multi_bandwidth_gaussian_kernel(torch.ones(5, 3)).isfinite().all()


def test_mmd_squared_excludes_the_diagonal() -> None:
    kernel = np.exp(-distances(np.r_[SOURCE, TARGET], np.r_[SOURCE, TARGET]))
    within = [
        np.mean([part[i, j] for i, j in itertools.permutations(range(len(part)), 2)]) for part in (kernel[:9, :9], kernel[9:, 9:])
    ]
    expected = sum(within) - 2 * kernel[:9, 9:].mean()
    assert float(features.mmd_squared(tensor(kernel), 9)) == pytest.approx(expected)


def test_mmd_squared_is_unbiased() -> None:
    torch.manual_seed(0)
    estimates = torch.stack(
        [features.mmd_squared(features.multi_bandwidth_gaussian_kernel(torch.randn(16, 3)), 8) for _ in range(400)]
    )
    assert abs(float(estimates.mean())) < 4 * float(estimates.std()) / 20


def test_stepwise_norm_has_a_constant_value_and_increases_norms() -> None:
    rows = tensor(SOURCE).requires_grad_()
    loss = features.stepwise_norm(rows, 1.5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(1.5**2)
    assert rows.grad is not None
    np.testing.assert_allclose(rows.grad.numpy(), -2 * 1.5 / 9 * SOURCE / np.linalg.norm(SOURCE, axis=1, keepdims=True))


def test_largest_singular_values_are_squared_and_summed() -> None:
    values = np.linalg.svd(SOURCE, compute_uv=False)
    for count in (1, 2):
        assert float(features.largest_singular_values(tensor(SOURCE), count)) == pytest.approx((values[:count] ** 2).sum())


def test_optimal_assignment_has_the_lowest_cost() -> None:
    costs = RANDOM.random((6, 6))
    rows, columns = features.optimal_assignment(tensor(costs))
    cheapest = min(costs[range(6), order].sum() for order in itertools.permutations(range(6)))
    assert costs[rows.numpy(), columns.numpy()].sum() == pytest.approx(cheapest)
    assert sorted(columns.tolist()) == list(range(6))


def test_losses_are_computed_in_float32_under_autocast() -> None:
    rows = torch.randn(64, 32) + 30
    with torch.autocast("cpu", torch.bfloat16):
        distances_under_autocast = features.squared_distances(rows, rows)
    assert distances_under_autocast.dtype == torch.float32
    assert torch.equal(distances_under_autocast, features.squared_distances(rows, rows))
