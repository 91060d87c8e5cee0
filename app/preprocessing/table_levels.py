"""Levels of categories in prediction inputs that the model does not know."""

from collections.abc import Collection

import polars as pl

from app.formats.cells import as_levels
from app.formats.data_warnings import DataWarning
from app.formats.validation import pointer, printable

MAX_EXAMPLES = 5


def unknown_levels(values: pl.Series, levels: Collection[str]) -> DataWarning | None:
    """Return a warning if a column of inputs has levels that are not in `levels`."""
    names = as_levels(values)
    is_unknown = names.is_not_null() & ~names.is_in(list(levels))
    rows = is_unknown.arg_true()
    if rows.is_empty():
        return None
    examples = [printable(name) for name in names.filter(is_unknown).unique(maintain_order=True).head(MAX_EXAMPLES)]
    message = (
        f"column {printable(values.name, 50)!r} has a value that the model does not know, in {len(rows)} of {len(values)} inputs:"
        f" {', '.join(map(repr, examples))}. It is handled as missing"
    )
    return DataWarning("unknown_level", message, pointer("inputs", rows[0], values.name), tuple(examples))
