"""Class counts of a labelled dataset."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NoReturn

import polars as pl

from app.errors import FieldError, InvalidDataset
from app.formats.validation import ErrorCollector, printable, storable

MAX_CLASSES = 1000
MAX_LENGTH = 200


class ClassCounter:
    """A count per class, in bounded memory. `add` raises InvalidDataset on too many classes or an unusable name."""

    def __init__(self, where: str, hint: str = "") -> None:
        self.where = where
        self.hint = hint
        self.counts: Counter[str] = Counter()

    def add(self, labels: Sequence[str]) -> None:
        self.counts.update(labels)
        if len(self.counts) > MAX_CLASSES:
            self._reject(f"more than {MAX_CLASSES} different labels; only classification is supported, not regression")
        for name in set(labels):
            if len(name) > MAX_LENGTH or not storable(name):
                self._reject(f"not usable as a class name: {printable(name, 50)!r}")

    def _reject(self, detail: str) -> NoReturn:
        raise InvalidDataset(detail, [FieldError(self.where, detail)])

    def classes(self, errors: ErrorCollector) -> dict[str, int]:
        """Return the number of examples per class, numbers in numeric order.

        Adds an error for a single class, unless earlier errors may explain it.
        """
        if len(self.counts) == 1 and not errors.count:
            only = printable(next(iter(self.counts)))
            errors.add(self.where, f"only one class, {only!r}: at least two are required{self.hint}")
        return {name: self.counts[name] for name in in_order(self.counts)}


def in_order(names: Iterable[str]) -> list[str]:
    """Sort names, by value if every name is an integer."""
    names = list(names)
    whole = all(name.lstrip("-").isdecimal() and name.isascii() and len(name) < 19 for name in names)
    return sorted(names, key=lambda name: (int(name), name)) if whole else sorted(names)


def to_category_strings(values: pl.Series) -> pl.Series:
    """Convert any column to class or level names: trimmed, null for empty and NaN, and `1` for 1.0 (as in a CSV file)."""
    if values.dtype.is_float():
        values = values.fill_nan(None)
    text = values.cast(pl.String).str.strip_chars()
    if text.str.contains(".0", literal=True).any():
        text = text.str.replace(r"^(-?\d+)\.0+$", "$1")
    return text.set(text == "", None)


def count_labels(labels: ClassCounter, values: pl.Series, rows: Sequence[int], column: str, errors: ErrorCollector) -> list[str]:
    """Count one block of a label column and return its names. Add an error for each row without a label."""
    names = to_category_strings(values)
    for index in names.is_null().arg_true():
        errors.add(f"/rows/{rows[index]}/{column}", f"row {rows[index]} has no label in column {column!r}")
    names_present = names.drop_nulls().to_list()
    labels.add(names_present)
    return names_present
