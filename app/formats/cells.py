"""Conversion of single columns of table cells."""

from typing import Literal

import polars as pl

from app.formats.names import canonical_names

Decimal = Literal[".", ","]

NULL_WORDS = ("na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "?")
_CURRENCY = r"(?:[$\u{20ac}\u{a3}\u{a5}\u{20b9}]|EUR|USD|GBP|CHF|JPY)"
_DECORATION = rf"^{_CURRENCY}\s*|^([+-]){_CURRENCY}\s*|\s*(?:{_CURRENCY}|%)$"
_GROUPED = {
    ".": r"^[+-]?[0-9]{1,3}(?:[ ,'\u{a0}\u{202f}\u{2019}][0-9]{3})+(?:\.[0-9]*)?$",
    ",": r"^[+-]?[0-9]{1,3}(?:[ .'\u{a0}\u{202f}\u{2019}][0-9]{3})+(?:,[0-9]*)?$",
}
_SEPARATORS = {".": r"[ ,'\u{a0}\u{202f}\u{2019}]", ",": r"[ .'\u{a0}\u{202f}\u{2019}]"}


def as_numbers(values: pl.Series, decimal: Decimal = ".") -> pl.Series:
    """Convert to Float64, with null for NaN and for cells that are not numbers."""
    if values.dtype != pl.String:
        numbers = values.cast(pl.Float64, strict=False)
    elif decimal == ",":
        return _written_numbers(values.str.strip_chars(), ",")
    else:
        numbers = values.cast(pl.Float64, strict=False)
        if numbers.null_count() > values.null_count():
            numbers = _written_numbers(values.str.strip_chars(), ".")
    return numbers.fill_nan(None)


def detect_decimal(values: pl.Series) -> Decimal:
    """Return the decimal mark of a column of text: a comma where only that makes numbers of more cells."""
    if values.dtype != pl.String or not values.str.contains(",", literal=True).any():
        return "."
    point, comma = as_numbers(values, "."), as_numbers(values, ",")
    return "," if comma.null_count() < point.null_count() else "."


def _written_numbers(text: pl.Series, decimal: Decimal) -> pl.Series:
    """Parse numbers with thousands separators, a currency, a percent sign or a minus sign of Unicode."""
    plain = text.str.replace_all("\u2212", "-", literal=True).str.replace_all(_DECORATION, "$1")
    grouped = plain.str.contains(_GROUPED[decimal])
    plain = plain.zip_with(~grouped, plain.str.replace_all(_SEPARATORS[decimal], ""))
    if decimal == ",":
        plain = plain.set(plain.str.contains(".", literal=True), None).str.replace(",", ".", literal=True)
    numbers = plain.cast(pl.Float64, strict=False).fill_nan(None)
    is_percent = text.str.ends_with("%").fill_null(value=False)
    return numbers.zip_with(~is_percent, numbers / 100) if is_percent.any() else numbers


def trimmed(values: pl.Series) -> pl.Series:
    """Strip text, with null for cells that are then empty or a word for a missing value."""
    text = values.str.strip_chars()
    return text.set((text == "") | text.str.to_lowercase().is_in(NULL_WORDS), None)


def as_levels(values: pl.Series) -> pl.Series:
    """Convert to levels of a category, with null for words for a missing value."""
    names = canonical_names(values)
    return names.set(names.str.to_lowercase().is_in(NULL_WORDS), None)


def is_supported(dtype: pl.DataType) -> bool:
    """Return whether a Parquet column can be a feature."""
    return dtype.is_numeric() or dtype in (pl.String, pl.Boolean, pl.Null, pl.Categorical, pl.Enum)
