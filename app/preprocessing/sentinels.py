"""Numbers that stand for a missing value, such as -9999 of data loggers.

Context: such a number among measurements sets their mean and deviation, so that the measurements are no longer different.
Decision: a usual one is taken as missing in a column where it occurs repeatedly and far from all other values, and reported.
A count that reaches 999 is near other counts. `options.missing` names the values instead.
"""

import math
from collections import Counter
from collections.abc import Collection

import polars as pl

USUAL = frozenset([-99999.0, -32768.0, -9999.0, -999.25, -999.0, -99.0, 999.0, 9999.0, 99999.0])
"""All are exact in 32 bits."""
MIN_COUNT, MIN_SHARE, MIN_DISTINCT = 2, 0.0005, 3
FAR_ABOVE = 2.0


class ValueRange:
    """The range of a column's numbers without those that stand for a missing value. `given` are the latter, if known."""

    def __init__(self, given: Collection[float] | None = None) -> None:
        self._given = given
        self._counts: Counter[float] = Counter()
        self._total = self._distinct = 0
        self._low, self._high = math.inf, -math.inf

    @property
    def are_detected(self) -> bool:
        """Return whether the numbers for a missing value are detected, not given."""
        return self._given is None

    def add(self, numbers: pl.Series) -> None:
        """Count a block of finite numbers; null is skipped."""
        self._total += len(numbers) - numbers.null_count()
        for value in self._given or ():
            numbers = self._without(numbers, value)
        bounds = _bounds(numbers)
        while self._given is None and bounds and not USUAL.isdisjoint(bounds):
            numbers = self._without(numbers, bounds[0] if bounds[0] in USUAL else bounds[1])
            bounds = _bounds(numbers)
        if bounds is None:
            return
        self._low, self._high = min(self._low, bounds[0]), max(self._high, bounds[1])
        if self._counts and self._distinct < MIN_DISTINCT:
            self._distinct = max(self._distinct, numbers.head(1000).n_unique() - bool(numbers.head(1000).null_count()))

    def _without(self, numbers: pl.Series, value: float) -> pl.Series:
        is_value = numbers == value
        self._counts[value] += int(is_value.sum())
        return numbers.filter(~is_value)

    def sentinels(self) -> dict[float, int]:
        """Return the numbers that stand for a missing value, with their counts."""
        if self._given is not None:
            return {value: count for value, count in self._counts.items() if count}
        low, high, found = self._low, self._high, dict[float, int]()
        for value in sorted(self._counts, key=abs):
            if self._is_sentinel(value, low, high):
                found[value] = self._counts[value]
            else:
                low, high = min(low, value), max(high, value)
        return found

    def _is_sentinel(self, value: float, low: float, high: float) -> bool:
        if low > high or self._counts[value] < max(MIN_COUNT, MIN_SHARE * self._total) or self._distinct < MIN_DISTINCT:
            return False
        if value > high:
            return value - high > FAR_ABOVE * (high - low)
        return value < low and (low >= 0 or low - value > high - low)

    def bounds(self) -> tuple[float, float] | None:
        """Return the smallest and the largest number, None if there is none."""
        sentinels = self.sentinels()
        ordinary = [value for value, count in self._counts.items() if count and value not in sentinels]
        low, high = min([self._low, *ordinary]), max([self._high, *ordinary])
        return (low, high) if low <= high else None


def without(numbers: pl.Series, values: Collection[float]) -> pl.Series:
    """Return the numbers with null for those that stand for a missing value."""
    return numbers.set(numbers.is_in(list(values)), None) if values else numbers


def _bounds(numbers: pl.Series) -> tuple[float, float] | None:
    low, high = numbers.min(), numbers.max()
    return (low, high) if isinstance(low, float) and isinstance(high, float) else None
