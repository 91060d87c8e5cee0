"""Schedules over p, the fraction of a run's steps that is done (Ganin et al., JMLR 2016, section 5.2.2)."""

import math


def inverse_decay(progress: float) -> float:
    """1 / (1 + 10 p)^0.75: what the learning rate is multiplied with."""
    return float((1 + 10 * progress) ** -0.75)


def sigmoid_ramp_up(progress: float) -> float:
    """2 / (1 + exp(-10 p)) - 1: from 0 at the start to almost 1 at the end; what lambda_max is multiplied with."""
    return 2 / (1 + math.exp(-10 * progress)) - 1
