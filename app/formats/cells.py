"""Conversion of single columns of table cells."""

import polars as pl


def as_numbers(values: pl.Series) -> pl.Series:
    """Convert to Float64, with null for cells that are not numbers."""
    numbers = values.cast(pl.Float64, strict=False)
    if values.dtype != pl.String or numbers.null_count() == values.null_count():
        return numbers
    return values.str.strip_chars().cast(pl.Float64, strict=False)


def trimmed(values: pl.Series) -> pl.Series:
    """Strip text, with null for cells that are then empty."""
    text = values.str.strip_chars()
    return text.set(text == "", None)


def is_supported(dtype: pl.DataType) -> bool:
    """Return whether a Parquet column can be a feature."""
    return dtype.is_numeric() or dtype in (pl.String, pl.Boolean, pl.Null, pl.Categorical, pl.Enum)
