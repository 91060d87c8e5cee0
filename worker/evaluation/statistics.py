"""What chance does to a share of a few examples."""

import math


def binomial_standard_error(share: float, examples: int) -> float:
    """Of a share of the examples, one more right and one more wrong: nine out of nine is no certainty."""
    share = (share * examples + 1) / (examples + 2)
    return math.sqrt(share * (1 - share) / examples)
