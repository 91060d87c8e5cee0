import numpy as np
import pytest
from scipy.special import softmax

from worker.estimates.calibration import calibrate, expected_calibration_error, fit_temperature


def overconfident(rows: int, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Return logits that are `factor` times too large for labels drawn from their softmax."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, size=(rows, 5))
    labels = np.array([random.choice(5, p=predictions) for predictions in softmax(logits, axis=1)])
    return (factor * logits).astype(np.float32), labels


@pytest.mark.parametrize("factor", [0.5, 1.0, 4.0])
def test_temperature_recovers_the_factor(factor: float) -> None:
    assert fit_temperature(*overconfident(6000, factor)) == pytest.approx(factor, rel=0.06)


def test_temperature_is_the_optimum_of_a_grid() -> None:
    logits, labels = overconfident(300, 3)
    grid = np.geomspace(0.05, 20, 4000)
    losses = [-np.log(softmax(logits / value, axis=1)[np.arange(300), labels]).mean() for value in grid]
    assert fit_temperature(logits, labels) == pytest.approx(grid[np.argmin(losses)], rel=0.01)


def test_calibration_reduces_the_error_of_held_out_rows() -> None:
    calibration = calibrate(*overconfident(4000, 4))
    assert calibration.error_before > 0.15
    assert calibration.error_after < 0.04


def test_perfect_network_has_a_finite_temperature() -> None:
    logits = (30 * np.eye(3)[[0, 1, 2, 0]]).astype(np.float32)
    assert 0.05 <= calibrate(logits, np.array([0, 1, 2, 0])).temperature <= 20


def test_expected_calibration_error_is_the_sum_over_bins() -> None:
    logits, labels = overconfident(500, 2)
    predictions = softmax(logits.astype(float), axis=1)
    confidence, right = predictions.max(axis=1), predictions.argmax(axis=1) == labels
    total = 0.0
    for low in np.arange(10) / 10:
        inside = (confidence >= low) & (confidence < low + 0.1)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(confidence, right, bins=10) == pytest.approx(total)


@pytest.mark.parametrize("rows", [12, 120, 1200])
def test_few_correct_rows_leave_uncertainty(rows: int) -> None:
    labels = np.arange(rows) % 4
    logits = (6 * np.eye(4)[labels]).astype(np.float32)
    confidence = softmax(logits / fit_temperature(logits, labels), axis=1)[0, 0]
    assert 1 - confidence == pytest.approx(3 / 4 / (rows + 1), rel=0.05)
