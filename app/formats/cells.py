"""Conversion of single columns of table cells."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from app.formats.names import canonical_names

Decimal = Literal[".", ","]
Thousands = Literal[",", ".", " ", "'", "_"]

NULL_WORDS = ("na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "?")
_SPACES = r" \u{a0}\u{202f}\u{2009}"
_CURRENCY = r"(?:[$\u{20ac}\u{a3}\u{a5}\u{20b9}]|EUR|USD|GBP|CHF|JPY)"
_DECORATION = rf"^{_CURRENCY}\s*|^([+-]){_CURRENCY}\s*|\s*(?:{_CURRENCY}|%)$"
_SEPARATORS = {".": rf",'_\u{{2019}}{_SPACES}", ",": rf".'_\u{{2019}}{_SPACES}"}
"""Usual thousands separators beside each decimal mark."""
_SAME = {" ": _SPACES, "'": r"'\u{2019}"}
_UNIT = (
    r"^[+-]?[0-9][0-9.,eE'+\u{2212}-]*[0-9.]?\s*"
    r"(\p{L}[\p{L}0-9/\u{b2}\u{b3}\u{b7}^*]{0,9}|\u{b0}\p{L}?|[\u{2032}\u{2033}\u{2030}])$"
)


@dataclass(frozen=True, slots=True)
class CellRules:
    """How the cells of a column are written. `thousands` None accepts every usual separator."""

    decimal: Decimal = "."
    thousands: Thousands | None = None
    unit: str | None = None
    words: Collection[str] = NULL_WORDS
    """Words for a missing value, in lower case."""


PLAIN = CellRules()


def as_numbers(values: pl.Series, rules: CellRules = PLAIN) -> pl.Series:
    """Convert to Float64, with null for NaN and for cells that are not numbers."""
    if values.dtype != pl.String:
        numbers = values.cast(pl.Float64, strict=False)
    elif rules.decimal == "," or rules.unit or rules.thousands == ".":
        return _written_numbers(values.str.strip_chars(), rules)
    else:
        numbers = values.cast(pl.Float64, strict=False)
        if numbers.null_count() > values.null_count():
            numbers = _written_numbers(values.str.strip_chars(), rules)
    has_nan = np.count_nonzero(np.isnan(numbers.to_numpy())) > numbers.null_count()
    return numbers.fill_nan(None) if has_nan else numbers


def detect_decimal(values: pl.Series, rules: CellRules, preferred: Decimal | None) -> tuple[Decimal, bool]:
    """Return the decimal mark of a column of text, and whether the other one is as likely.

    It is the one that makes numbers of more cells, then the preferred one.
    """
    if values.dtype != pl.String or not _may_have_comma(values, preferred):
        return ".", False
    point = as_numbers(values, CellRules(".", rules.thousands, rules.unit, rules.words))
    comma = as_numbers(values, CellRules(",", rules.thousands, rules.unit, rules.words))
    if point.null_count() != comma.null_count():
        return ("," if comma.null_count() < point.null_count() else "."), False
    is_ambiguous = comma.null_count() < len(comma) and not point.equals(comma)
    return (preferred or ".") if is_ambiguous else ".", is_ambiguous


def _may_have_comma(values: pl.Series, preferred: Decimal | None) -> bool:
    marks = ",." if preferred == "," else ","
    return bool(values.str.contains(f"[{marks}]").any())


def detect_unit(values: pl.Series, words: Collection[str]) -> str | None:
    """Return the unit after the numbers of a column of text, such as `kg`, if every cell has the same one."""
    text = trimmed(values, words).drop_nulls()
    units = text.str.extract(_UNIT, 1)
    if not len(text) or units.null_count() or units.n_unique() > 1:
        return None
    return str(units[0])


def _written_numbers(text: pl.Series, rules: CellRules) -> pl.Series:
    """Parse numbers with thousands separators, a currency, a unit, a percent sign or a minus sign of Unicode."""
    plain = text.str.replace_all("\u2212", "-", literal=True).str.replace_all(_DECORATION, "$1")
    if rules.unit:
        plain = plain.str.strip_suffix(rules.unit).str.strip_chars_end()
    separators = _SAME.get(rules.thousands, rules.thousands) if rules.thousands else _SEPARATORS[rules.decimal]
    mark = re.escape(rules.decimal)
    grouped = plain.str.contains(rf"^[+-]?[1-9][0-9]{{0,2}}(?:[{separators}][0-9]{{3}})+(?:{mark}[0-9]*)?$")
    plain = plain.zip_with(~grouped, plain.str.replace_all(f"[{separators}]", ""))
    if rules.decimal == ",":
        plain = plain.set(plain.str.contains(".", literal=True), None).str.replace(",", ".", literal=True)
    numbers = plain.cast(pl.Float64, strict=False).fill_nan(None)
    is_percent = text.str.ends_with("%").fill_null(value=False)
    return numbers.zip_with(~is_percent, numbers / 100) if is_percent.any() else numbers


def trimmed(values: pl.Series, words: Collection[str] = NULL_WORDS) -> pl.Series:
    """Strip text, with null for cells that are then empty or a word for a missing value."""
    text = values.str.strip_chars()
    return text.set((text == "") | text.str.to_lowercase().is_in(list(words)), None)


def as_levels(values: pl.Series, words: Collection[str] = NULL_WORDS) -> pl.Series:
    """Convert to levels of a category, with null for words for a missing value."""
    names = canonical_names(values)
    return names.set(names.str.to_lowercase().is_in(list(words)), None)


def is_supported(dtype: pl.DataType) -> bool:
    """Return whether a Parquet column can be a feature."""
    return dtype.is_numeric() or dtype in (pl.String, pl.Boolean, pl.Null, pl.Categorical, pl.Enum)
