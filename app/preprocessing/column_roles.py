"""Columns that identify or order the rows of a table: row counters, indices of pandas, identifiers, timestamps, free text.

Context: such a column is almost unique in every row, so a network learns the order of the file from it.
Decision: it is detected in the first rows, reported, and not learned. `options.learn` names exceptions, `options.texts` texts.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from app.formats.cells import as_levels, as_numbers
from app.formats.names import canonical_names
from app.formats.validation import ErrorCollector, pointer, printable

MIN_ROWS, MAX_ROWS, MAX_BYTES = 30, 20_000, 16 * 1024 * 1024
"""Fewer rows are no evidence; more rows are not read."""
UNIQUE_SHARE, TIMESTAMP_SHARE = 0.95, 0.95
_INDEX_NAME = re.compile(r"Unnamed: 0(\.\d+)?|__index_level_\d+__|level_0")
_ID_NAME = re.compile(r"(?i)(?:.*[\W_])?(id|uuid|guid|index|idx|rownum|row_?number)|.*[a-z]Id")
_TIMESTAMP = (
    r"^\d{4}[-/]\d{1,2}[-/]\d{1,2}([T ]\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?\s*(Z|UTC|[+-]\d{2}:?\d{2})?)?$"
    r"|^\d{1,2}[./]\d{1,2}[./](\d{4}|\d{2})( \d{1,2}:\d{2}(:\d{2})?)?$"
)
REASONS = {
    "index_column": "is the index of a pandas table",
    "row_counter": "counts the rows",
    "identifier": "is different in almost every row",
    "timestamp": "contains dates or times",
    "free_text": "contains texts",
}
_TEXT_SHARE, _TEXT_WORDS = 0.5, 4
_LABEL_NAMES = ("class", "target", "y", "labels", "category", "outcome", "diagnosis", "species", "fault", "condition", "activity")


class Sample:
    """The first rows of a table, in bounded memory."""

    def __init__(self) -> None:
        self._frames: list[pl.DataFrame] = []
        self._rows = self._bytes = 0

    def add(self, frame: pl.DataFrame) -> None:
        """Keep the rows of a block that are still needed."""
        if self._rows < MAX_ROWS and self._bytes < MAX_BYTES:
            self._frames.append(frame.head(MAX_ROWS - self._rows))
            self._rows += self._frames[-1].height
            self._bytes += int(self._frames[-1].estimated_size())

    def examples(self, name: str) -> list[str]:
        """Return the first values of a column."""
        values = self._frames[0][name].drop_nulls().head(3) if self._frames else pl.Series(dtype=pl.String)
        return [printable(text) for text in values.cast(pl.String)]

    def levels(self, name: str, limit: int) -> list[str]:
        """Return the levels of a column in order, none if there are more than `limit`."""
        parts = [as_levels(frame[name]).unique() for frame in self._frames]
        found = pl.concat(parts).drop_nulls().unique() if parts else pl.Series(dtype=pl.String)
        return sorted(found.to_list()) if len(found) <= limit else []

    def role(self, name: str, kind: str) -> str | None:
        """Return the code of the column's role, None for an ordinary column."""
        if not self._frames:
            return None
        values = pl.concat([frame[name] for frame in self._frames])
        if values.dtype in (pl.Date, pl.Datetime, pl.Time):
            return "timestamp"
        if kind == "number":
            return _role_of_numbers(name, as_numbers(values))
        return _role_of_texts(canonical_names(values).drop_nulls()) if kind == "category" else None


def find(sample: Sample, kinds: Mapping[str, str], pandas_metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the codes of the columns that are not learned, by name."""
    indices = pandas_metadata.get("index_columns")
    names = {name for name in indices if isinstance(name, str)} if isinstance(indices, list) else set()
    roles = {name: "index_column" if name in names else sample.role(name, kind) for name, kind in kinds.items()}
    return {name: role for name, role in roles.items() if role is not None}


def warn(sample: Sample, roles: Mapping[str, str], errors: ErrorCollector) -> None:
    """Add a warning for each column that is not learned."""
    for name, role in roles.items():
        option = "texts" if role == "free_text" else "learn"
        message = (
            f"column {printable(name, 50)!r} {REASONS[role]} and is not learned;"
            f" to learn it, name it in `options.{option}`; to leave it out, in `options.ignore`"
        )
        errors.warn(role, message, pointer("columns", name), sample.examples(name))


def warn_of_label(names: Sequence[str], errors: ErrorCollector) -> None:
    """Add a warning if a table without a label has a column with a usual name of one."""
    likely = [name for name in names if name.lower() in _LABEL_NAMES]
    if likely:
        shown = ", ".join(repr(printable(name, 50)) for name in likely[:3])
        message = f"the table has no labels, but {shown} may contain them: name the column in `options.label`"
        errors.warn("likely_label", message, pointer("columns", likely[0]), likely[:3])


def _role_of_numbers(name: str, numbers: pl.Series) -> str | None:
    if len(numbers) < MIN_ROWS or numbers.null_count():
        return None
    values = numbers.to_numpy()
    if not (values == np.floor(values)).all():
        return None
    steps = np.diff(values)
    if (steps == 1).all() or (steps == -1).all():
        return "row_counter"
    if numbers.n_unique() < UNIQUE_SHARE * len(numbers):
        return None
    if _INDEX_NAME.fullmatch(name):
        return "index_column"
    return "identifier" if _ID_NAME.fullmatch(name) else None


def _role_of_texts(names: pl.Series) -> str | None:
    if len(names) < MIN_ROWS:
        return None
    if names.str.contains(_TIMESTAMP).mean() >= TIMESTAMP_SHARE:  # type: ignore[operator]
        return "timestamp"
    distinct = names.n_unique() / len(names)
    if distinct >= _TEXT_SHARE and (names.str.count_matches(r"\S\s+\S") + 1).mean() >= _TEXT_WORDS:  # type: ignore[operator]
        return "free_text"
    return "identifier" if distinct >= UNIQUE_SHARE else None
