"""Columns of numbers in blocks of table rows, as float32."""

from collections.abc import Sequence
from typing import NoReturn

import numpy as np
import polars as pl

from app.errors import FieldError, InvalidDataset
from app.formats.cells import PLAIN, CellRules, as_numbers, detect_decimal, trimmed
from app.formats.row_blocks import RowBlock
from app.formats.series.recording import Values
from app.formats.validation import pointer, printable


class NumberColumns:
    """Converts the channels of consecutive blocks. A column keeps the decimal mark of its first values."""

    def __init__(self, names: Sequence[str], where: str = "") -> None:
        self.names = tuple(names)
        self._where = where
        self._rules: dict[str, CellRules] = {}

    def convert(self, block: RowBlock) -> Values:
        """Return the values (channels, rows), NaN where a cell is empty. Raise InvalidDataset for a cell without a number."""
        converted = np.empty((len(self.names), block.frame.height), np.float32)
        with np.errstate(over="ignore"):  # the caller reports infinite values
            for row, name in enumerate(self.names):
                converted[row] = self._numbers(block, name).to_numpy()
        return converted

    def _numbers(self, block: RowBlock, name: str) -> pl.Series:
        values = block.frame[name]
        if name not in self._rules and values.null_count() < len(values):
            self._rules[name] = CellRules(decimal=detect_decimal(values, PLAIN, None)[0])
        numbers = as_numbers(values, self._rules.get(name, PLAIN))
        if values.dtype == pl.String and numbers.null_count() > values.null_count():
            is_text = trimmed(values).is_not_null() & numbers.is_null()
            if is_text.any():
                index = int(is_text.arg_true()[0])
                self._reject(name, block.rows[index], str(values[index]))
        elif not values.dtype.is_numeric() and values.dtype not in (pl.String, pl.Boolean, pl.Null):
            self._reject(name, block.rows[0], str(values.dtype))
        return numbers.fill_null(float("nan"))

    def _reject(self, name: str, row: int, value: str) -> NoReturn:
        detail = (
            f"row {row}, column {printable(name, 50)!r}: {printable(value, 30)!r} is not a number; channels are numbers. Name "
            "other columns in `options`: `id`, `time`, `label`, `group` or `ignore`"
        )
        raise InvalidDataset(detail, [FieldError(self._where + pointer("rows", row, name), detail)])
