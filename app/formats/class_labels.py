"""Class counts of a labelled dataset."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn

import polars as pl

from app.errors import FieldError, InvalidDataset
from app.formats.names import canonical_names
from app.formats.validation import ErrorCollector, printable, storable

MAX_CLASSES = 10_000
MAX_LENGTH = 200
MAX_WHOLE_NUMBERS, MAX_FRACTIONS = 100, 20
UNLABELLED = frozenset(["-1", "?", "nan", "na", "n/a", "null", "none", "unlabelled", "unlabeled"])
"""Names, in lower case, that mean "no label" where no other name occurs: exports of scikit-learn, Weka and others."""


class ClassCounter:
    """A count per class, in bounded memory. `add` raises InvalidDataset on too many classes or an unusable name."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.counts: Counter[str] = Counter()
        self.missing = ErrorCollector()
        """Examples without a label."""

    def add(self, labels: Iterable[str]) -> None:
        new = Counter(labels)
        for name in new.keys() - self.counts.keys():
            if reason := unusable_reason(name):
                self._reject(f"not usable as a class name, because {reason}: {printable(name, 50)!r}")
        self.counts.update(new)
        if len(self.counts) > MAX_CLASSES:
            self._reject(f"more than {MAX_CLASSES} different labels; only classification is supported, not regression")

    def _reject(self, detail: str) -> NoReturn:
        raise InvalidDataset(detail, [FieldError(self.where, detail)])

    def classes(self, errors: ErrorCollector) -> dict[str, int] | None:
        """Return the number of examples per class, numbers in numeric order. Return None if no example has a label.

        Add a warning if only some have one. Raise InvalidDataset for numbers of a regression.
        """
        if len(self.counts) <= 1 and all(name.lower() in UNLABELLED for name in self.counts):
            return None
        total = self.counts.total()
        if is_regression(self.counts):
            self._reject(
                f"the labels are {len(self.counts)} different numbers in {total} rows, as for regression; only classification is"
                " supported: name another column in `options.label`, or replace the numbers by classes such as low and high"
            )
        if self.missing.count:
            message = (
                f"{self.missing.count} of {total + self.missing.count} examples have no label: {self.missing.errors[0].detail}."
                " A source learns from the others only, and accuracies are measured on the others"
            )
            errors.warn("partly_labelled", message, self.where)
        return {name: self.counts[name] for name in in_order(self.counts)}


def is_regression(counts: Mapping[str, int]) -> bool:
    """Return whether the labels are measured numbers: many different ones, with few examples each."""
    numbers = [_number(name) for name in counts]
    if any(number is None for number in numbers):
        return False
    examples = sum(counts.values()) / len(counts)
    is_whole = all(number is not None and number.is_integer() for number in numbers)
    return len(counts) > MAX_WHOLE_NUMBERS and examples < 5 if is_whole else len(counts) > MAX_FRACTIONS and examples < 10


def _number(name: str) -> float | None:
    try:
        return float(name)
    except ValueError:
        return None


def unusable_reason(name: str) -> str | None:
    """Return why a text cannot be the name of a class, or None."""
    if len(name) > MAX_LENGTH:
        return f"it has {len(name)} characters and at most {MAX_LENGTH} are accepted"
    return None if storable(name) else "it contains a NUL character or invalid Unicode"


def in_order(names: Iterable[str]) -> list[str]:
    """Sort names, by value if every name is an integer."""
    names = list(names)
    whole = all(name.lstrip("-").isdecimal() and name.isascii() and len(name) < 19 for name in names)
    return sorted(names, key=lambda name: (int(name), name)) if whole else sorted(names)


def count_labels(labels: ClassCounter, values: pl.Series, rows: Sequence[int], column: str) -> None:
    """Count one block of a label column."""
    names = canonical_names(values)
    for index in names.is_null().arg_true():
        labels.missing.add(f"/rows/{rows[index]}/{column}", f"row {rows[index]} has no label in column {column!r}")
    labels.add(names.drop_nulls().to_list())
