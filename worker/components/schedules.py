"""Schedules over progress p, the completed fraction of a run's steps (Ganin et al., JMLR 2016, section 5.2.2)."""

import math


def inverse_decay(progress: float) -> float:
    """Return the factor of the learning rate, 1 / (1 + 10 p)^0.75."""
    return float((1 + 10 * progress) ** -0.75)


def sigmoid_ramp_up(progress: float) -> float:
    """Return the factor of lambda_max, 2 / (1 + exp(-10 p)) - 1: 0 at the start, almost 1 at the end."""
    return 2 / (1 + math.exp(-10 * progress)) - 1
