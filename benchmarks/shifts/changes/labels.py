"""Shifts of any kind of data: none, other class proportions, and classes that the target lacks."""

import numpy as np

from benchmarks.shifts.rows import Change, Domains, Random, Rows, halves

RARE_FRACTION = 0.2
"""Fraction of the rows that a reduced class keeps."""


def no_shift(rows: Rows, random: Random) -> Domains:
    """Return random halves: no adaptation is needed."""
    return halves(rows, random)


def label_shift(rows: Rows, random: Random) -> Domains:
    """Reduce half of the classes in the target."""
    source, target = halves(rows, random)
    return source, reduce_classes(target, RARE_FRACTION, random)


def missing_class(rows: Rows, random: Random) -> Domains:
    """Remove a third of the classes from the target, with two classes nearly all rows of one."""
    source, target = halves(rows, random)
    names = random.permutation(target.classes)
    removed = names[: max(1, len(names) // 3)]
    keep = 0.03 if len(names) == 2 else 0.0
    is_kept = ~np.isin(target.labels, removed) | (random.random(len(target)) < keep)
    return source, target.take(np.flatnonzero(is_kept))


def with_label_shift(change: Change) -> Change:
    """Return the change followed by a label shift of the target."""

    def both(rows: Rows, random: Random) -> Domains:
        source, target = change(rows, random)
        return source, reduce_classes(target, RARE_FRACTION, random)

    return both


def reduce_classes(rows: Rows, fraction: float, random: Random) -> Rows:
    """Return the rows with this fraction of half of the classes."""
    names = random.permutation(rows.classes)
    is_kept = ~np.isin(rows.labels, names[: len(names) // 2]) | (random.random(len(rows)) < fraction)
    return rows.take(np.flatnonzero(is_kept))


CHANGES = {"none": no_shift, "labels": label_shift, "missing-class": missing_class}
