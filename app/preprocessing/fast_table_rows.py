"""Fast encoding of a few table rows of numbers and levels, without Polars.

`app.preprocessing.table_rows` handles all other rows: it checks each cell and reports errors.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.formats.cells import NULL_WORDS
from app.formats.data_warnings import DataWarning
from app.formats.names import canonical_name
from app.preprocessing.fitted_columns import level_codes
from app.preprocessing.table_columns import MAX_FLOAT32, is_valid_category
from app.preprocessing.table_levels import unknown_level_warning

_NUMBERS = {float, int, type(None)}
_LEVELS = (str, int, float)
MISSING = 0
"""Code of a missing or unknown level."""

FastRows = tuple[dict[str, NDArray[Any]], list[DataWarning]]


class FastRowEncoder:
    """Encoder of whole rows. `columns` are names in order with their levels, None for numbers."""

    def __init__(self, columns: Mapping[str, Sequence[str] | None]) -> None:
        self._names = list(columns)
        self._numbers = [position for position, levels in enumerate(columns.values()) if levels is None]
        self._categories = [
            _Category(position, name, levels) for position, (name, levels) in enumerate(columns.items()) if levels is not None
        ]

    def __call__(self, values: Sequence[Any]) -> FastRows | None:
        """Return `numbers` float32 (n, a) and `categories` int64 (n, b) as the encoder does, and warnings about unknown levels.

        Return None for other rows.
        """
        try:
            rows = [value if type(value) is list else [value[name] for name in self._names] for value in values]
            if any(len(value) != len(self._names) for value in values):
                return None
            codes = [column.codes(rows) for column in self._categories]
        except (KeyError, TypeError, _UnusableCellError):
            return None
        encoded: dict[str, NDArray[Any]] = {}
        if self._numbers:
            numbers = _numbers(rows if not self._categories else [[row[position] for position in self._numbers] for row in rows])
            if numbers is None:
                return None
            encoded["numbers"] = numbers
        if self._categories:
            encoded["categories"] = np.array(list(zip(*(column for column, _ in codes), strict=True)), np.int64)
        return encoded, [warning for _, warning in codes if warning is not None]


class _UnusableCellError(ValueError):
    """A cell that cannot be a level."""


class _Category:
    """The codes of the levels of one column, as they are spelled in the manifest (`_spelled`) and in canonical form."""

    def __init__(self, position: int, name: str, levels: Sequence[str]) -> None:
        self._position, self._name = position, name
        self._spelled: dict[Any, int] = {None: MISSING, "": MISSING} | {level: code for code, level in enumerate(levels, 1)}
        self._canonical = level_codes(levels)

    def codes(self, rows: Sequence[Sequence[Any]]) -> tuple[list[int], DataWarning | None]:
        """Return the code of the cell of each row. Raise TypeError or _UnusableCellError for cells that are no levels."""
        cells = [row[self._position] for row in rows]
        try:
            return [self._spelled[cell] for cell in cells], None
        except KeyError:
            return self._codes_of_other_spellings(cells)

    def _codes_of_other_spellings(self, cells: Sequence[Any]) -> tuple[list[int], DataWarning | None]:
        codes, unknown = [], {}
        for row, cell in enumerate(cells):
            code = self._spelled.get(cell)
            if code is None:
                if not isinstance(cell, _LEVELS) or not is_valid_category(str(cell)):
                    raise _UnusableCellError
                name = canonical_name(cell)
                code = self._canonical.get(name, MISSING) if name else MISSING
                if name and code == MISSING and name.lower() not in NULL_WORDS:
                    unknown[row] = name
            codes.append(code)
        return codes, unknown_level_warning(self._name, unknown, len(cells)) if unknown else None


def _numbers(rows: Sequence[Sequence[Any]]) -> NDArray[np.float32] | None:
    if not all(_NUMBERS.issuperset(map(type, row)) for row in rows):
        return None
    numbers = np.array(rows, np.float64)
    return None if (np.abs(numbers) > MAX_FLOAT32).any() else numbers.astype(np.float32)
