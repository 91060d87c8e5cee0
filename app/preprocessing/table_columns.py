"""Column types of a table, detected in one pass: numbers or categories.

Context: CSV has no types. A guess would silently turn `n/a` into a category or a code like `12` into a number.
Decision: a column with only numbers is a number column, and one without numbers is a category column. Whole numbers with zeros
in front are codes, so a category. A mixture is rejected, with the rows. `options.categories` names columns of numeric codes, and
`options.texts` columns of texts. Decimal marks and units are detected in the first block with values.
A column without values fits both. The types of Parquet are used as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import polars as pl

from app.formats.cells import PLAIN, CellRules, Decimal, as_levels, as_numbers, detect_decimal, detect_unit, trimmed
from app.formats.validation import LIMIT, ErrorCollector, pointer, printable, storable
from app.preprocessing.sentinels import ValueRange

Kind = Literal["number", "category", "text", "empty"]
Examples = list[tuple[int, str]]

MAX_FLOAT32 = float(np.finfo(np.float32).max)
MAX_CELL_LENGTH = 1000
MAX_TEXT_LENGTH = 1_000_000
MAX_SHOWN_LENGTH = 100
ADVICE = (
    "leave the cell empty if the value is missing, list it in `options.missing`, or name the column in `options.categories`;"
    " `options.decimal` and `options.thousands` set how numbers are written"
)


@dataclass(slots=True)
class ColumnProfile:
    """Counts and examples of one column so far."""

    name: str
    may_be_numbers: bool
    rules: CellRules = PLAIN
    is_text: bool = False
    decimal: Decimal | None = None
    is_ambiguous: bool = False
    values: ValueRange = field(default_factory=ValueRange)
    has_zeros: bool = False
    has_fractions: bool = False
    missing: int = 0
    numbers: int = 0
    texts: int = 0
    seen_numbers: Examples = field(default_factory=list)
    seen_texts: Examples = field(default_factory=list)
    seen_outside: Examples = field(default_factory=list)
    seen_unusable: Examples = field(default_factory=list)

    def add(self, values: pl.Series, rows: Sequence[int]) -> None:
        """Count one block."""
        if self.may_be_numbers:
            self._add_numbers(values, rows)
        else:
            names = as_levels(values, self.rules.words)
            self.missing += names.null_count()
            self.texts += len(names) - names.null_count()
            self._add_names(names, rows)

    def detect(self, values: pl.Series, preferred: Decimal | None) -> None:
        """Detect decimal mark and unit, unless they are known or the block has no values. Prefer a mark where both fit."""
        if not self.may_be_numbers or self.decimal is not None or values.null_count() == len(values):
            return
        if values.dtype == pl.String and as_numbers(values, self.rules).null_count() > values.null_count():
            self.rules = replace(self.rules, unit=detect_unit(values, self.rules.words))
        self.decimal, self.is_ambiguous = detect_decimal(values, self.rules, preferred)
        self.rules = replace(self.rules, decimal=self.decimal)

    def _add_numbers(self, values: pl.Series, rows: Sequence[int]) -> None:
        self.detect(values, None)
        numbers = as_numbers(values, self.rules)
        self._look_for_codes(values, numbers)
        if numbers.null_count() == values.null_count() and _all_inside(numbers):
            self.missing += numbers.null_count()
            self.numbers += len(numbers) - numbers.null_count()
            self.values.add(numbers)
            if len(self.seen_numbers) < LIMIT:
                _keep_examples(self.seen_numbers, numbers.is_not_null(), values, rows)
            return
        text = trimmed(values, self.rules.words) if values.dtype == pl.String else numbers
        inside = numbers.is_finite() & (numbers.abs() <= MAX_FLOAT32)
        is_text = text.is_not_null() & numbers.is_null()
        self.missing += int((text.is_null() & numbers.is_null()).sum())
        self.numbers += int(inside.sum())
        self.values.add(numbers.filter(inside))
        self.texts += int(is_text.sum())
        _keep_examples(self.seen_outside, ~inside, values, rows)
        _keep_examples(self.seen_texts, is_text, text, rows)
        _keep_examples(self.seen_numbers, inside, text, rows)
        if self.texts:
            self._add_names(text, rows)

    def _look_for_codes(self, values: pl.Series, numbers: pl.Series) -> None:
        """Notice whole numbers with zeros in front, such as 007, which are codes."""
        if values.dtype != pl.String or self.has_fractions:
            return
        self.has_fractions = bool((numbers.floor() != numbers).any())
        self.has_zeros = self.has_zeros or bool((values.str.starts_with("0") & (numbers >= 1)).any())

    @property
    def has_codes(self) -> bool:
        return self.has_zeros and not self.has_fractions

    def _add_names(self, names: pl.Series, rows: Sequence[int]) -> None:
        longest = MAX_TEXT_LENGTH if self.is_text else MAX_CELL_LENGTH
        unusable = (names.str.len_chars() > longest) | names.str.contains("\0", literal=True)
        _keep_examples(self.seen_unusable, unusable, names, rows)

    def kind(self) -> Kind:
        if self.texts or self.has_codes:
            return "text" if self.is_text else "category"
        return "number" if self.numbers or self.seen_outside else "empty"

    def report(self, errors: ErrorCollector) -> None:
        """Add the errors of the column after its last block."""
        if self.numbers and self.texts and not self.has_codes:
            self._report_mixture(errors)
        if self.numbers or not self.texts:  # "inf" is a valid category
            for row, value in self.seen_outside:
                self._add_error(
                    errors, row, f"{value} is not a finite 32-bit number; leave the cell empty if the value is missing"
                )
        for row, value in self.seen_unusable:
            self._add_error(errors, row, f"{printable(value, 30)!r} is too long or holds a NUL character")

    def _report_mixture(self, errors: ErrorCollector) -> None:
        for row, value in self.seen_texts if self.numbers >= self.texts else self.seen_numbers:
            what = "text among numbers" if self.numbers >= self.texts else "a number among text"
            self._add_error(errors, row, f"{printable(value, 30)!r} is {what}: {ADVICE}")

    def _add_error(self, errors: ErrorCollector, row: int, detail: str) -> None:
        errors.add(pointer("rows", row, self.name), f"row {row}, column {printable(self.name, 50)!r}: {detail}")


def _all_inside(numbers: pl.Series) -> bool:
    """Return whether every number is finite in 32 bits. Nulls are ignored."""
    bounds = (numbers.min(), numbers.max())
    return all(abs(bound) <= MAX_FLOAT32 for bound in bounds if isinstance(bound, float))


def _keep_examples(seen: Examples, where: pl.Series, values: pl.Series, rows: Sequence[int]) -> None:
    """Keep the first examples where `where` is true. A null counts as false."""
    if len(seen) == LIMIT or not where.any():
        return
    for index in where.arg_true().head(LIMIT - len(seen)):
        seen.append((rows[index], str(values[index])[:MAX_SHOWN_LENGTH]))


def is_valid_category(text: str) -> bool:
    """Return whether a text can be a level of a category."""
    return len(text) <= MAX_CELL_LENGTH and storable(text)
