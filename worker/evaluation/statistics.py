"""Sampling error of proportions."""

import math


def binomial_standard_error(proportion: float, examples: int) -> float:
    """Return the standard error of a proportion.

    One success and one failure are added, so that nine of nine does not give an error of zero.
    """
    proportion = (proportion * examples + 1) / (examples + 2)
    return math.sqrt(proportion * (1 - proportion) / examples)
