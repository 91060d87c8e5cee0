"""The labels of a labelled dataset, counted."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NoReturn

import polars as pl

from app.errors import FieldError, InvalidDataset
from app.formats.validation import ErrorCollector, printable, storable

MAX_CLASSES = 1000
MAX_LENGTH = 200


class ClassCounter:
    """Counts classes in bounded memory: raises InvalidDataset as soon as there are too many or one cannot be stored."""

    def __init__(self, where: str, hint: str = "") -> None:
        self.where = where
        self.hint = hint
        self.counts: Counter[str] = Counter()

    def add(self, labels: Sequence[str]) -> None:
        self.counts.update(labels)
        if len(self.counts) > MAX_CLASSES:
            self._refuse(f"more than {MAX_CLASSES} different labels: is this a number to estimate? Only classes can be learnt")
        for name in set(labels):
            if len(name) > MAX_LENGTH or not storable(name):
                self._refuse(f"not usable as a class name: {printable(name, 50)!r}")

    def _refuse(self, detail: str) -> NoReturn:
        raise InvalidDataset(detail, [FieldError(self.where, detail)])

    def classes(self, places: ErrorCollector) -> dict[str, int]:
        """Examples of each class, numbers in numeric order. A single one goes into `places`, unless others may have been bad."""
        if len(self.counts) == 1 and not places.count:
            only = printable(next(iter(self.counts)))
            places.add(self.where, f"only one class, {only!r}: there is nothing to tell apart{self.hint}")
        return {name: self.counts[name] for name in in_order(self.counts)}


def in_order(names: Iterable[str]) -> list[str]:
    """Sorted; by value when every name is a whole number."""
    names = list(names)
    whole = all(name.lstrip("-").isdecimal() and name.isascii() and len(name) < 19 for name in names)
    return sorted(names, key=lambda name: (int(name), name)) if whole else sorted(names)


def to_category_strings(values: pl.Series) -> pl.Series:
    """Class or level names of any column: trimmed, empty and NaN mean missing, and 1.0 is called 1 as in the file beside it."""
    if values.dtype.is_float():
        values = values.fill_nan(None)
    text = values.cast(pl.String).str.strip_chars()
    if text.str.contains(".0", literal=True).any():
        text = text.str.replace(r"^(-?\d+)\.0+$", "$1")
    return text.set(text == "", None)


def count_labels(labels: ClassCounter, values: pl.Series, rows: Sequence[int], column: str, places: ErrorCollector) -> list[str]:
    """Count one block of a label column; a missing label goes into `places` with its row."""
    names = to_category_strings(values)
    for index in names.is_null().arg_true():
        places.add(f"/rows/{rows[index]}/{column}", f"row {rows[index]} has no label in column {column!r}")
    found = names.drop_nulls().to_list()
    labels.add(found)
    return found
