"""Fast encoding of table rows with only numbers and levels of the manifest.

`app.preprocessing.table_rows` handles all other rows: it checks each cell and reports errors.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.table_columns import MAX_FLOAT32

_NUMBERS = {float, int, type(None)}


class FastRowEncoder:
    """Encoder of whole rows. `columns` are names in order with their levels, None for numbers."""

    def __init__(self, columns: Mapping[str, Sequence[str] | None]) -> None:
        self._names = list(columns)
        self._numbers = [position for position, levels in enumerate(columns.values()) if levels is None]
        self._levels: list[tuple[int, dict[str | None, int]]] = [
            (position, {None: 0} | {level: number for number, level in enumerate(levels, 1)})
            for position, levels in enumerate(columns.values())
            if levels is not None
        ]

    def __call__(self, values: Sequence[Any]) -> dict[str, NDArray[Any]] | None:
        """Return `numbers` float32 (n, a) and `categories` int64 (n, b) as the encoder does. Return None for other rows."""
        try:
            rows = [value if type(value) is list else [value[name] for name in self._names] for value in values]
            if any(len(value) != len(self._names) for value in values):
                return None
            categories = [[ids[row[position]] for position, ids in self._levels] for row in rows]
        except (KeyError, TypeError):
            return None
        encoded: dict[str, NDArray[Any]] = {}
        if self._numbers:
            numbers = _numbers(rows if not self._levels else [[row[position] for position in self._numbers] for row in rows])
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
    return None if (np.abs(numbers) > MAX_FLOAT32).any() else numbers.astype(np.float32)
