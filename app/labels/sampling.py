"""Samples of rows to label: strata, and an order in which every planned look is a proportional sample."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOOKS = (20, 30, 50, 100)
"""Numbers of labels at which figures change. The last row of a request is one more look."""
BANDS = 5
DISPUTED = "disputed"
DISPUTED_SHARE = 0.5
"""Fraction of the labels for rows on which the models differ, if the labels measure accuracy and gain."""

Positions = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stratum:
    """Rows that are drawn from together. `share` is the fraction of the labels that they get."""

    name: str
    members: Positions
    share: float


def looks(count: int) -> list[int]:
    """Return the numbers of labels at which the figures of a request with `count` rows change."""
    return [*(look for look in LOOKS if look < count), count]


def accuracy_strata(confidence: NDArray[np.float64]) -> list[Stratum]:
    """Return five bands of equally many rows, by confidence."""
    return _bands(confidence, np.arange(len(confidence)), 1.0)


def gain_strata(disputed: NDArray[np.bool_]) -> list[Stratum]:
    """Return the rows on which the models differ, as the only stratum."""
    return [Stratum(DISPUTED, np.flatnonzero(disputed), 1.0)]


def both_strata(confidence: NDArray[np.float64], disputed: NDArray[np.bool_]) -> list[Stratum]:
    """Return the disputed rows, which get half of the labels, and bands of the others."""
    members, others = np.flatnonzero(disputed), np.flatnonzero(~disputed)
    if not len(members):
        return accuracy_strata(confidence)
    if not len(others):
        return gain_strata(disputed)
    return [Stratum(DISPUTED, members, DISPUTED_SHARE), *_bands(confidence, others, 1 - DISPUTED_SHARE)]


def _bands(confidence: NDArray[np.float64], rows: Positions, share: float) -> list[Stratum]:
    order = rows[np.argsort(confidence[rows], kind="stable")]
    bands = [band for band in np.array_split(order, BANDS) if len(band)]
    return [
        Stratum(f"confidence {number} of {len(bands)}", band, share * len(band) / len(rows))
        for number, band in enumerate(bands, 1)
    ]


@dataclass(frozen=True, slots=True)
class DrawnRow:
    """The position of a row and the number of its stratum."""

    position: int
    stratum: int


def draw(strata: Sequence[Stratum], count: int, seed: int) -> list[DrawnRow]:
    """Draw rows without replacement, at most as many as there are.

    The rows between two looks are shuffled, so that their order does not show the strata.
    """
    random = np.random.default_rng(seed)
    pools = [list(random.permutation(stratum.members)) for stratum in strata]
    numbers = _apportion(strata, min(count, sum(map(len, pools))))
    rows = [DrawnRow(int(pools[number].pop()), number) for number in numbers]
    start, ordered = 0, list[DrawnRow]()
    for look in looks(len(rows)):
        segment = rows[start:look]
        ordered += [segment[index] for index in random.permutation(len(segment))]
        start = look
    return ordered


def _apportion(strata: Sequence[Stratum], count: int) -> list[int]:
    """Return the stratum of each row, so that every beginning of the list has each stratum by its share."""
    shares, sizes = np.array([stratum.share for stratum in strata]), np.array([len(stratum.members) for stratum in strata])
    taken, numbers = np.zeros(len(strata)), list[int]()
    for drawn in range(1, count + 1):
        lack = np.where(taken < sizes, shares * drawn - taken, -np.inf)
        number = int(lack.argmax())
        taken[number] += 1
        numbers.append(number)
    return numbers
