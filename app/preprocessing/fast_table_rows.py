"""Rows of a prediction request that need no second look: plain numbers, and levels as they stand in the manifest.

`app.preprocessing.table_rows` looks at each cell, and says which one is wrong; this looks at whole rows, and leaves all others
to it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.table_columns import LARGEST

_NUMBERS = {float, int, type(None)}


class FastRowEncoder:
    """`columns` are names in order with their levels, None for numbers."""

    def __init__(self, columns: Mapping[str, Sequence[str] | None]) -> None:
        self._names = list(columns)
        self._numbers = [place for place, levels in enumerate(columns.values()) if levels is None]
        self._levels: list[tuple[int, dict[str | None, int]]] = [
            (place, {None: 0} | {level: number for number, level in enumerate(levels, 1)})
            for place, levels in enumerate(columns.values())
            if levels is not None
        ]

    def __call__(self, values: Sequence[Any]) -> dict[str, NDArray[Any]] | None:
        """`numbers` float32 (n, a) and `categories` int64 (n, b) as the encoder makes them; None for rows that are not plain."""
        try:
            rows = [value if type(value) is list else [value[name] for name in self._names] for value in values]
            if any(len(value) != len(self._names) for value in values):
                return None
            categories = [[known[row[place]] for place, known in self._levels] for row in rows]
        except (KeyError, TypeError):
            return None
        encoded: dict[str, NDArray[Any]] = {}
        if self._numbers:
            numbers = _numbers(rows if not self._levels else [[row[place] for place in self._numbers] for row in rows])
            if numbers is None:
                return None
            encoded["numbers"] = numbers
        if self._levels:
            encoded["categories"] = np.array(categories, np.int64)
        return encoded


def _numbers(rows: Sequence[Sequence[Any]]) -> NDArray[np.float32] | None:
    if not all(_NUMBERS.issuperset(map(type, row)) for row in rows):
        return None
    numbers = np.array(rows, np.float64)
    return None if (np.abs(numbers) > LARGEST).any() else numbers.astype(np.float32)
