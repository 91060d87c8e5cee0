"""Blocks of table rows, passed from file readers to modalities."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from app.errors import FieldError, InvalidDataset
from app.formats.names import canonical_text
from app.formats.validation import ErrorCollector, pointer, printable, storable

MAX_COLUMNS = 25_000
MAX_NAME_LENGTH = 200
DEFAULT_LABEL = "label"


@dataclass(frozen=True, slots=True)
class RowBlock:
    """Consecutive rows of a table. `rows[i]` is the file's row number of row i of the frame."""

    rows: Sequence[int]
    frame: pl.DataFrame


def check_names(names: Sequence[str]) -> list[str]:
    """Return the column names in canonical form. Raise InvalidDataset with each unusable name."""
    names = [canonical_text(name) for name in names]
    errors = ErrorCollector()
    if len(names) > MAX_COLUMNS:
        errors.add("/columns", f"{len(names)} columns: at most {MAX_COLUMNS} are accepted")
    first: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        shown = printable(name, 50)
        if not name:
            errors.add(f"/columns/{number}", f"column {number} has no name")
        elif len(name) > MAX_NAME_LENGTH or not storable(name):
            errors.add(f"/columns/{number}", f"column {number} has an unusable name: {shown!r}")
        elif name in first:
            errors.add(f"/columns/{number}", f"columns {first[name]} and {number} are both called {shown!r}")
        first.setdefault(name, number)
    errors.check()
    return names


def default_label(names: Sequence[str]) -> str | None:
    """Return the column `label`, or the only one that differs from it in case."""
    similar = [name for name in names if name.lower() == DEFAULT_LABEL]
    return DEFAULT_LABEL if DEFAULT_LABEL in names else similar[0] if len(similar) == 1 else None


def require_column(column: str, names: Sequence[str], option: str) -> str:
    """Return the column's canonical name. Raise InvalidDataset with the available names if it does not exist."""
    column = canonical_text(column)
    if column in names:
        return column
    available = ", ".join(repr(printable(name, 50)) for name in names[:20])
    detail = f"there is no column {printable(column, 50)!r} (`options.{option}`); the columns are {available}"
    raise InvalidDataset(detail, [FieldError(pointer("options", option), detail)])
