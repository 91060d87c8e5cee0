import math

import pytest

from worker.components.schedules import inverse_decay, sigmoid_ramp_up


@pytest.mark.parametrize("progress", [0, 0.05, 0.5, 1])
def test_schedules_equal_the_formulas_of_the_paper(progress: float) -> None:
    assert sigmoid_ramp_up(progress) == pytest.approx(2 / (1 + math.exp(-10 * progress)) - 1)
    assert inverse_decay(progress) == pytest.approx(1 / (1 + 10 * progress) ** 0.75)


def test_ramp_up_goes_from_zero_to_almost_one() -> None:
    assert sigmoid_ramp_up(0) == 0
    assert sigmoid_ramp_up(0.5) == pytest.approx(0.9866, abs=1e-4)
    assert sigmoid_ramp_up(1) == pytest.approx(0.9999, abs=1e-4)
