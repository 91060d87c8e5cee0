"""Levels of categories in prediction inputs that the model does not know."""

from collections.abc import Collection, Mapping

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
    return unknown_level_warning(values.name, dict(zip(rows, names.filter(is_unknown), strict=True)), len(values))


def unknown_level_warning(column: str, found: Mapping[int, str], inputs: int) -> DataWarning:
    """Return a warning about the unknown levels `found`, by row number, in this number of inputs."""
    examples = [printable(name) for name in list(dict.fromkeys(found.values()))[:MAX_EXAMPLES]]
    message = (
        f"column {printable(column, 50)!r} has a value that the model does not know, in {len(found)} of {inputs} inputs:"
        f" {', '.join(map(repr, examples))}. It is handled as missing"
    )
    return DataWarning("unknown_level", message, pointer("inputs", min(found), column), tuple(examples))
