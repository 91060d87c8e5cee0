"""Rows of a checked table, with columns converted as its check has detected them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from app.formats import tables
from app.formats.cells import CellRules, as_levels, as_numbers
from app.formats.names import canonical_names
from app.formats.validation import ErrorCollector
from app.preprocessing import sentinels
from app.preprocessing.table_check import without_marks
from app.preprocessing.table_options import TableOptions


@dataclass(frozen=True, slots=True)
class TableRows:
    """Converted columns, and the labels, groups and domains of the rows where there are any."""

    frame: pl.DataFrame
    labels: list[str | None] | None
    groups: list[str] | None
    domains: list[str] | None


def rows(path: Path, format: str, options: TableOptions, details: Mapping[str, Any], size: int) -> Iterator[TableRows]:
    """Yield all rows, at most `size` at a time."""
    label = details["label"]
    converters = {column["name"]: _converter(column, options) for column in details["columns"]}
    names = [*converters, *([label] if label else [])]
    for block in tables.blocks(path, format, options.layout, names, ErrorCollector()):
        for part in block.frame.iter_slices(size):
            frame = pl.DataFrame([convert(part[name]) for name, convert in converters.items()])
            labels = canonical_names(without_marks(part[label], options)).to_list() if label else None
            groups, domains = (_names(part[name]) if name else None for name in (options.group, options.domain))
            yield TableRows(frame, labels, groups, domains)


def unlearned(details: Mapping[str, Any]) -> frozenset[str]:
    """Return the columns that are not learned."""
    return frozenset(column["name"] for column in details["columns"] if "role" in column)


def _converter(column: Mapping[str, Any], options: TableOptions) -> Callable[[pl.Series], pl.Series]:
    if column.get("role") in ("ignored", "group", "domain"):
        return _nulls
    if column["kind"] == "number":
        rules = replace(options.rules, decimal=column.get("decimal", options.rules.decimal), unit=column.get("unit"))
        return partial(floats, rules=rules, missing=tuple(column.get("sentinels", ())))
    return _texts if column["kind"] == "text" else partial(as_levels, words=options.rules.words)


def floats(values: pl.Series, rules: CellRules, missing: tuple[float, ...] = ()) -> pl.Series:
    """Return Float32 as it is and other types as Float64; null for anything that is not a number."""
    numbers = values.fill_nan(None) if values.dtype == pl.Float32 else as_numbers(values, rules)
    return sentinels.without(numbers, missing)


def _names(values: pl.Series) -> list[str]:
    """Return the groups or domains of the rows; rows without one belong together."""
    return canonical_names(values).fill_null("").to_list()


def _texts(values: pl.Series) -> pl.Series:
    text = values.cast(pl.String)
    return text.set(text.str.strip_chars() == "", None)


def _nulls(values: pl.Series) -> pl.Series:
    return pl.Series(values.name, [None] * len(values), pl.String)
