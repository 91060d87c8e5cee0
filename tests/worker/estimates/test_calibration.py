import numpy as np
import pytest
from scipy.special import softmax

from worker.estimates.calibration import calibrate, expected_calibration_error, fit_temperature


def overconfident(rows: int, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `factor` times too large for labels drawn from their softmax."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, size=(rows, 5))
    labels = np.array([random.choice(5, p=shares) for shares in softmax(logits, axis=1)])
    return (factor * logits).astype(np.float32), labels


@pytest.mark.parametrize("factor", [0.5, 1.0, 4.0])
def test_the_temperature_takes_the_factor_out(factor: float) -> None:
    assert fit_temperature(*overconfident(6000, factor)) == pytest.approx(factor, rel=0.06)


def test_the_temperature_is_the_best_of_a_grid() -> None:
    logits, labels = overconfident(300, 3)
    grid = np.geomspace(0.05, 20, 4000)
    losses = [-np.log(softmax(logits / value, axis=1)[np.arange(300), labels]).mean() for value in grid]
    assert fit_temperature(logits, labels) == pytest.approx(grid[np.argmin(losses)], rel=0.01)


def test_calibration_lessens_the_error_of_examples_it_was_not_fitted_on() -> None:
    found = calibrate(*overconfident(4000, 4))
    assert found.error_before > 0.15
    assert found.error_after < 0.04


def test_a_network_that_is_always_right_stays_finite() -> None:
    logits = (30 * np.eye(3)[[0, 1, 2, 0]]).astype(np.float32)
    assert 0.05 <= calibrate(logits, np.array([0, 1, 2, 0])).temperature <= 20


def test_the_expected_calibration_error_is_the_textbook_sum_over_bins() -> None:
    logits, labels = overconfident(500, 2)
    shares = softmax(logits.astype(float), axis=1)
    confidence, right = shares.max(axis=1), shares.argmax(axis=1) == labels
    total = 0.0
    for low in np.arange(10) / 10:
        inside = (confidence >= low) & (confidence < low + 0.1)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(shares, labels, bins=10) == pytest.approx(total)


@pytest.mark.parametrize("rows", [12, 120, 1200])
def test_being_right_about_all_of_a_few_rows_is_no_certainty(rows: int) -> None:
    labels = np.arange(rows) % 4
    logits = (6 * np.eye(4)[labels]).astype(np.float32)
    share = softmax(logits / fit_temperature(logits, labels), axis=1)[0, 0]
    assert 1 - share == pytest.approx(3 / 4 / (rows + 1), rel=0.05)
