"""Fits the columns of a table: scales of numbers, levels of categories, terms of texts."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from app.formats.cells import as_levels
from app.preprocessing.fitted_columns import MAX_LEVELS, AnyColumn, CategoryColumn, NumberColumn, TextColumn, UnusedColumn
from app.preprocessing.number_scales import NumberScales
from app.preprocessing.tfidf import DocumentFrequencies


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive rows of a domain, with the names of the columns that are not learned."""

    frame: pl.DataFrame
    unlearned: frozenset[str]
    details: Mapping[str, Any]


@dataclass(slots=True)
class TableFit:
    """Scales are fitted over the source, levels and terms over both domains. Columns that the target lacks are not learned."""

    order: list[str] = field(default_factory=list)
    levels: dict[str, Counter[str]] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    terms: DocumentFrequencies = field(default_factory=DocumentFrequencies)
    _numbers: list[str] = field(default_factory=list)
    _scales: NumberScales | None = None
    _missing: dict[str, set[float]] = field(default_factory=dict)

    def add_source(self, parts: Iterable[Part]) -> None:
        for part in parts:
            if self._scales is None:
                self._begin(part)
            assert self._scales is not None
            self._scales.add(as_matrix(part.frame.select(self._numbers)))
            for name, counts in self.levels.items():
                counts.update(part.frame[name].drop_nulls().to_list())
            self._add_texts(part.frame)

    def _begin(self, part: Part) -> None:
        self.order = part.frame.columns
        kinds = {column["name"]: column for column in part.details["columns"]}
        learned = [name for name in self.order if name not in part.unlearned]
        self.texts = [name for name in learned if kinds[name]["kind"] == "text"]
        categories = [name for name in learned if kinds[name]["kind"] in ("category", "empty")]
        self.levels = {name: Counter() for name in categories}
        self._numbers = [name for name in learned if kinds[name]["kind"] == "number"]
        self._missing = {name: set(kinds[name].get("sentinels", ())) for name in self._numbers}
        self._scales = NumberScales(len(self._numbers))

    def add_target(self, parts: Iterable[Part]) -> None:
        for part in parts:
            for name in [name for name, counts in self.levels.items() if counts and name in part.frame.columns]:
                self.levels[name].update(as_levels(part.frame[name]).drop_nulls().to_list())
            for column in part.details.get("columns", ()):
                if column["name"] in self._missing:
                    self._missing[column["name"]].update(column.get("sentinels", ()))
            self._add_texts(part.frame)

    def _add_texts(self, frame: pl.DataFrame) -> None:
        if self.texts:
            self.terms.add(joined_texts(frame, self.texts))

    def write_terms(self, path: Path) -> int | None:
        """Write the vocabulary of the text columns and return its size, None without such columns or terms."""
        return (self.terms.write(path) or None) if self.texts else None

    def columns(self) -> tuple[AnyColumn, ...]:
        """Return the fitted columns in the order of the source."""
        fitted: dict[str, AnyColumn] = {name: TextColumn(name=name) for name in self.texts}
        if self._scales is not None:
            means, deviations = self._scales.scales()
            for name, count, mean, std in zip(self._numbers, self._scales.counts, means, deviations, strict=True):
                if count:
                    fitted[name] = NumberColumn(name=name, mean=mean, std=std, missing=tuple(sorted(self._missing[name])))
        fitted |= {name: _category(name, counts) for name, counts in self.levels.items() if counts}
        return tuple(fitted.get(name, UnusedColumn(name=name)) for name in self.order)


def as_matrix(frame: pl.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return number columns as (n, columns), NaN for a missing value."""
    if not frame.width:
        return np.empty((frame.height, 0))
    return frame.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def joined_texts(frame: pl.DataFrame, names: list[str]) -> list[str]:
    """Return the texts of each row, joined."""
    absent = pl.repeat(None, frame.height, dtype=pl.String, eager=True)
    columns = [frame[name] if name in frame.columns else absent for name in names]
    return pl.select(pl.concat_str(columns, separator="\n", ignore_nulls=True).fill_null("")).to_series().to_list()


def _category(name: str, levels: Counter[str]) -> CategoryColumn:
    frequent = sorted(levels, key=lambda level: (-levels[level], level))[:MAX_LEVELS]
    return CategoryColumn(name=name, levels=tuple(sorted(frequent)))
