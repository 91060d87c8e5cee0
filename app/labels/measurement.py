"""What the labels of a request say: accuracy, gain over the source-only model, values by class, and a verdict."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from app.labels.intervals import (
    Differences,
    Interval,
    StratumCounts,
    gain,
    labels_to_decide,
    stratified_proportion,
    weighted_proportion,
)
from app.labels.sampling import DISPUTED, looks

MIN_LABELS_OF_CLASS = 5
Verdict = Literal["yes", "no", "unsure"]


@dataclass(frozen=True, slots=True)
class StratumSize:
    """A stratum's name and its number of rows in the dataset."""

    name: str
    rows: int


@dataclass(frozen=True, slots=True)
class AnsweredRow:
    """A row with both predictions and its answer; neither a label nor `unclear` means that it is open."""

    stratum: int
    predicted: str
    source_only: str | None
    label: str | None
    unclear: bool = False

    @property
    def is_answered(self) -> bool:
        return self.unclear or self.label is not None


@dataclass(frozen=True, slots=True)
class ClassValue:
    """The recall of a class, from this many labels."""

    labels: int
    recall: Interval


@dataclass(frozen=True, slots=True)
class Measurement:
    """The figures at a look. Those that the request does not measure are None."""

    look: int
    labels: int
    unclear: int
    accuracy: Interval | None
    source_only_accuracy: float | None
    gain: Interval | None
    verdict: Verdict | None
    labels_to_decide: int | None
    classes: Mapping[str, ClassValue]


def reached_look(rows: Sequence[AnsweredRow]) -> int | None:
    """Return the last look up to which all rows are answered, in the order of the request."""
    answered = next((index for index, row in enumerate(rows) if not row.is_answered), len(rows))
    return max((look for look in looks(len(rows)) if look <= answered), default=None)


def next_look(rows: Sequence[AnsweredRow]) -> int | None:
    """Return the next look, None if all rows are answered."""
    reached = reached_look(rows) or 0
    return next((look for look in looks(len(rows)) if look > reached), None)


def measure(rows: Sequence[AnsweredRow], strata: Sequence[StratumSize], total: int) -> Measurement | None:
    """Return the figures at the last look that was reached, None before the first one and without a clear label.

    `total` is the number of rows of the dataset that could be drawn or have no disputed prediction.
    """
    look = reached_look(rows)
    if look is None:
        return None
    used = rows[:look]
    clear = [row for row in used if row.label is not None]
    if not clear:
        return None
    weights = _rows_per_label(used, strata)
    measures_accuracy = sum(stratum.rows for stratum in strata) == total
    differences = _differences(used, strata, total)
    interval = gain(differences) if differences else None
    verdict = _verdict(interval)
    return Measurement(
        look,
        len(clear),
        len(used) - len(clear),
        accuracy=stratified_proportion(_counts(used, strata)) if measures_accuracy else None,
        source_only_accuracy=_source_only_accuracy(clear, weights) if measures_accuracy else None,
        gain=interval,
        verdict=verdict,
        labels_to_decide=labels_to_decide(differences) if differences and verdict == "unsure" else None,
        classes=_classes(clear, weights) if measures_accuracy else {},
    )


def _clear_rows(rows: Sequence[AnsweredRow], stratum: int, size: int) -> float:
    """Return the estimated number of rows of a stratum that have a clear label."""
    own = [row for row in rows if row.stratum == stratum]
    return size * sum(row.label is not None for row in own) / len(own) if own else float(size)


def _counts(rows: Sequence[AnsweredRow], strata: Sequence[StratumSize]) -> list[StratumCounts]:
    labelled = Counter(row.stratum for row in rows if row.label is not None)
    correct = Counter(row.stratum for row in rows if row.label is not None and row.label == row.predicted)
    return [
        StratumCounts(_clear_rows(rows, number, stratum.rows), labelled[number], correct[number])
        for number, stratum in enumerate(strata)
    ]


def _rows_per_label(rows: Sequence[AnsweredRow], strata: Sequence[StratumSize]) -> list[float]:
    """Return the number of rows that each label of a stratum stands for."""
    return [one.rows / one.labelled if one.labelled else 0.0 for one in _counts(rows, strata)]


def _source_only_accuracy(clear: Sequence[AnsweredRow], weights: Sequence[float]) -> float | None:
    if any(row.source_only is None for row in clear):
        return None
    return float(np.average([row.label == row.source_only for row in clear], weights=[weights[row.stratum] for row in clear]))


def _differences(rows: Sequence[AnsweredRow], strata: Sequence[StratumSize], total: int) -> Differences | None:
    disputed = next((number for number, stratum in enumerate(strata) if stratum.name == DISPUTED), None)
    if disputed is None:
        return None
    clear = [row for row in rows if row.stratum == disputed and row.label is not None]
    if not clear:
        return None
    size = max(round(_clear_rows(rows, disputed, strata[disputed].rows)), len(clear))
    return Differences(
        rows=total,
        disputed=size,
        labelled=len(clear),
        better=sum(row.label == row.predicted for row in clear),
        worse=sum(row.label == row.source_only for row in clear),
    )


def _verdict(interval: Interval | None) -> Verdict | None:
    if interval is None:
        return None
    if interval.low > 0:
        return "yes"
    return "no" if interval.high < 0 else "unsure"


def _classes(clear: Sequence[AnsweredRow], weights: Sequence[float]) -> dict[str, ClassValue]:
    found = {}
    for name in sorted({row.label for row in clear if row.label is not None}):
        own = [row for row in clear if row.label == name]
        if len(own) >= MIN_LABELS_OF_CLASS:
            correct = np.array([row.predicted == name for row in own])
            recall = weighted_proportion(correct, np.array([weights[row.stratum] for row in own]))
            found[name] = ClassValue(len(own), recall)
    return found
