"""Statistics of the channels of series, and interpolation of missing values."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.number_scales import ROUNDING

Batch = NDArray[np.float32]

SENTINELS = (-99999.0, -9999.0, -999.0, -99.0, 99.0, 999.0, 9999.0, 99999.0)
"""Numbers that programs write for a missing value."""
FAR = 10
"""Standard deviations of the other values between them and a sentinel."""


class ChannelMoments:
    """Count, range, mean and squared deviations of each channel, merged batch by batch (Chan, Golub and LeVeque 1979)."""

    def __init__(self, channels: int) -> None:
        self.count = np.zeros(channels, np.int64)
        self.missing = np.zeros(channels, np.int64)
        self.mean, self.squares = np.zeros(channels), np.zeros(channels)
        self._sentinels = {sentinel: np.zeros(channels, np.int64) for sentinel in SENTINELS}
        self.low, self.high = np.full(channels, np.inf), np.full(channels, -np.inf)

    def add(self, batch: Batch) -> None:
        """Add series (n, channels, time); NaN is missing."""
        values = batch.astype(np.float64)
        present = ~np.isnan(values)
        count = present.sum(axis=(0, 2))
        total = self.count + count
        mean = np.where(present, values, 0).sum(axis=(0, 2)) / np.maximum(count, 1)
        deviations = np.where(present, values - mean[:, None], 0)
        difference = mean - self.mean
        share = count / np.maximum(total, 1)
        self.squares += np.square(deviations).sum(axis=(0, 2)) + np.square(difference) * self.count * share
        self.mean += difference * share
        self.low = np.minimum(self.low, np.where(present, values, np.inf).min(axis=(0, 2)))
        self.high = np.maximum(self.high, np.where(present, values, -np.inf).max(axis=(0, 2)))
        self.count = total
        self.missing += present.shape[0] * present.shape[2] - count
        for sentinel in SENTINELS:
            self._sentinels[sentinel] += (batch == sentinel).sum(axis=(0, 2))

    @property
    def deviation(self) -> NDArray[np.float64]:
        """Standard deviations, or 1 for a constant channel, whose deviation is only a rounding error."""
        deviation = np.sqrt(self.squares / np.maximum(self.count, 1))
        return np.where(deviation > ROUNDING * np.abs(self.mean), deviation, 1.0)

    def sentinels(self) -> dict[int, float]:
        """Return the channels with a number such as -9999 that is repeated and far from all others."""
        found: dict[int, float] = {}
        for sentinel, counts in self._sentinels.items():
            rest = np.maximum(self.count - counts, 1)
            mean = (self.count * self.mean - counts * sentinel) / rest
            squares = self.squares + self.count * self.mean**2 - counts * sentinel**2 - rest * mean**2
            is_far = np.abs(sentinel - mean) > FAR * np.sqrt(np.maximum(squares, 0) / rest)
            is_extreme = (self.low == sentinel) | (self.high == sentinel)
            found |= {int(index): sentinel for index in np.flatnonzero(is_far & is_extreme & (counts > 1) & (counts < rest))}
        return found

    def as_details(self) -> list[dict[str, Any]]:
        """Return the range, mean and deviation of each channel; None for a channel without values."""
        return [
            {"min": float(low), "max": float(high), "mean": float(mean), "std": float(deviation)} if count else None  # type: ignore[misc]
            for low, high, mean, deviation, count in zip(self.low, self.high, self.mean, self.deviation, self.count, strict=True)
        ]


def without_missing(values: Batch, missing: Sequence[float]) -> Batch:
    """Return values with NaN for the numbers that mean a missing value."""
    return np.where(np.isin(values, np.array(missing, np.float32)), np.float32("nan"), values) if missing else values


def interpolated(series: Batch) -> Batch:
    """Return series (n, channels, time) with missing values on the line between their neighbours.

    Values before the first and after the last one repeat it. A channel without any value stays missing.
    """
    missing = np.isnan(series)
    if not missing.any():
        return series
    filled = series.copy()
    steps = np.arange(series.shape[2])
    for row, channel in np.argwhere(missing.any(axis=2) & ~missing.all(axis=2)):
        gaps = missing[row, channel]
        filled[row, channel, gaps] = np.interp(steps[gaps], steps[~gaps], series[row, channel, ~gaps])
    return filled
