"""Canonical names of classes, category levels and columns: one spelling of the same name in every format.

Context: files of other tools spell a name in different ways: decomposed by macOS, padded by databases, `True` by pandas and
`true` by Parquet, `1.0` where a column had a missing value. Decision: names are compared in canonical form. It is in NFC,
without white space around it and without zero-width characters. Booleans are `true` and `false`, and `1.0` is `1`.
`01` is a code and remains `01`.
"""

import re
import unicodedata

import polars as pl

_SPACE = r"[\s\x1c-\x1f]"
_INVISIBLE = r"[\u{ad}\u{180e}\u{200b}-\u{200f}\u{202a}-\u{202e}\u{2060}-\u{2064}\u{2066}-\u{2069}\u{feff}]"
_INVISIBLE_PATTERN = re.compile(re.sub(r"\\u\{(\w+)\}", lambda match: re.escape(chr(int(match[1], 16))), _INVISIBLE))
_WHOLE = r"^(-?\d+)\.0+$"


def canonical_text(text: str) -> str:
    """Return a column name in canonical form. Case, booleans and numbers stay as they are."""
    if text.isascii():
        return text.strip()
    return re.sub(_SPACE, " ", _INVISIBLE_PATTERN.sub("", unicodedata.normalize("NFC", text))).strip()


def canonical_name(value: object) -> str | None:
    """Return a class or level in canonical form; None for a missing value: None, NaN, or blank text."""
    if value is None or value != value:  # only NaN differs from itself
        return None
    text = canonical_text(str(value))
    if text.lower() in ("true", "false"):
        return text.lower()
    return re.sub(_WHOLE, r"\1", text, flags=re.ASCII) or None


def canonical_names(values: pl.Series) -> pl.Series:
    """Return a column of any type as classes or levels in canonical form, with null for missing values."""
    if values.dtype.is_float():
        values = values.fill_nan(None)
    text = values.cast(pl.String)
    if values.dtype == pl.Boolean or values.dtype.is_integer():
        return text
    text = text.str.strip_chars()
    if text.str.contains(r"[^\x20-\x7e]").any():
        text = _canonical_texts(text)
    if text.str.contains(".0", literal=True).any():
        text = text.str.replace(r"^(-?[0-9]+)\.0+$", "$1")
    is_boolean = text.str.contains(r"^(?i:true|false)$")
    if is_boolean.any():
        text = text.zip_with(~is_boolean, text.str.to_lowercase())
    return text.set(text == "", None)


def _canonical_texts(text: pl.Series) -> pl.Series:
    """Do what `canonical_text` does. ASCII cells keep their inner white space."""
    is_ascii = text.str.contains(r"^[\x00-\x7f]*$")
    canonical = text.str.normalize("NFC").str.replace_all(_INVISIBLE, "").str.replace_all(_SPACE, " ").str.strip_chars()
    return text.str.strip_chars(_ASCII_SPACE).zip_with(is_ascii, canonical)


_ASCII_SPACE = " \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"
