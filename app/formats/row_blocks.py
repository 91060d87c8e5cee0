"""Pieces of a table on their way from a file to a modality."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from app.errors import FieldError, InvalidDataset
from app.formats.validation import ErrorCollector, pointer, printable, storable

MAX_COLUMNS = 2000
MAX_NAME_LENGTH = 200


@dataclass(frozen=True, slots=True)
class RowBlock:
    """Some rows of a table: `rows[i]` is the number in the file of the frame's row i."""

    rows: Sequence[int]
    frame: pl.DataFrame


def check_names(names: Sequence[str]) -> list[str]:
    """The column names when they can be used. Raises InvalidDataset naming each one that cannot."""
    places = ErrorCollector()
    if len(names) > MAX_COLUMNS:
        places.add("/columns", f"{len(names)} columns: at most {MAX_COLUMNS} are accepted")
    first: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        shown = printable(name, 50)
        if not name:
            places.add(f"/columns/{number}", f"column {number} has no name")
        elif len(name) > MAX_NAME_LENGTH or not storable(name):
            places.add(f"/columns/{number}", f"column {number} has a name that cannot be used: {shown!r}")
        elif name in first:
            places.add(f"/columns/{number}", f"columns {first[name]} and {number} are both called {shown!r}")
        first.setdefault(name, number)
    places.check()
    return list(names)


def require_column(wanted: str, names: Sequence[str], option: str) -> str:
    """`wanted` when there is such a column. Raises InvalidDataset with the names that there are."""
    if wanted in names:
        return wanted
    there = ", ".join(repr(printable(name, 50)) for name in names[:20])
    detail = f"there is no column {printable(wanted, 50)!r} (`options.{option}`); the columns are {there}"
    raise InvalidDataset(detail, [FieldError(pointer("options", option), detail)])
