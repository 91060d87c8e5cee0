import math

import pytest

from worker.components.schedules import inverse_decay, sigmoid_ramp_up


@pytest.mark.parametrize("progress", [0, 0.05, 0.5, 1])
def test_the_schedules_are_the_papers(progress: float) -> None:
    assert sigmoid_ramp_up(progress) == pytest.approx(2 / (1 + math.exp(-10 * progress)) - 1)
    assert inverse_decay(progress) == pytest.approx(1 / (1 + 10 * progress) ** 0.75)


def test_lambda_goes_from_nothing_to_almost_one_within_the_run() -> None:
    assert sigmoid_ramp_up(0) == 0
    assert sigmoid_ramp_up(0.5) == pytest.approx(0.9866, abs=1e-4)
    assert sigmoid_ramp_up(1) == pytest.approx(0.9999, abs=1e-4)
