"""Conversion of single columns of table cells."""

import polars as pl


def as_numbers(values: pl.Series) -> pl.Series:
    """Float64; null where there is no number."""
    numbers = values.cast(pl.Float64, strict=False)
    if values.dtype != pl.String or numbers.null_count() == values.null_count():
        return numbers
    return values.str.strip_chars().cast(pl.Float64, strict=False)


def trimmed(values: pl.Series) -> pl.Series:
    """Text without the space around it; null where nothing is left."""
    text = values.str.strip_chars()
    return text.set(text == "", None)


def is_supported(dtype: pl.DataType) -> bool:
    """Whether a Parquet column can be a feature."""
    return dtype.is_numeric() or dtype in (pl.String, pl.Boolean, pl.Null, pl.Categorical, pl.Enum)
