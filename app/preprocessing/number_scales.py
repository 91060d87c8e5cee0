"""Mean and deviation of each number column, which a few wrong values do not set.

Context: one value far from the others takes the scale of its column. Decision: numbers farther than `FAR` interquartile ranges
from the median are counted at that distance. The quartiles come from a sample of the rows; columns without such numbers keep
their exact mean and deviation.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

FAR = 5.0
ROUNDING = 1e-12
SAMPLE_CELLS, MIN_SAMPLE_ROWS, MAX_SAMPLE_ROWS = 4_000_000, 200, 20_000
_SLAB = 256
"""Columns computed at a time: it bounds the memory of wide tables."""

Floats = NDArray[np.float64]


class NumberScales:
    """Running statistics of some columns, merged block by block (Chan, Golub and LeVeque 1979)."""

    def __init__(self, columns: int) -> None:
        self.counts = np.zeros(columns)
        self._means, self._squares = np.zeros(columns), np.zeros(columns)
        self._lows, self._highs = np.full(columns, np.inf), np.full(columns, -np.inf)
        self._sample = _RowSample(int(np.clip(SAMPLE_CELLS // max(columns, 1), MIN_SAMPLE_ROWS, MAX_SAMPLE_ROWS)))

    def add(self, values: Floats) -> None:
        """Add rows (n, columns), NaN for a missing value."""
        for slab in _slabs(len(self.counts)):
            self._add_slab(values[:, slab], slab)
        self._sample.add(values)

    def _add_slab(self, values: Floats, slab: slice) -> None:
        is_missing = np.isnan(values)
        counts = len(values) - is_missing.sum(axis=0)
        has_any = counts > 0
        divisors = np.maximum(counts, 1)
        means = np.where(is_missing, 0, values).sum(axis=0) / divisors
        deviations = np.where(is_missing, 0, values - means)
        total = np.maximum(self.counts[slab] + counts, 1)
        shifts = np.where(has_any, means - self._means[slab], 0)
        self._squares[slab] += np.square(deviations).sum(axis=0) + shifts**2 * self.counts[slab] * counts / total
        self._means[slab] += shifts * counts / total
        self.counts[slab] += counts
        self._lows[slab] = np.fmin(self._lows[slab], np.where(is_missing, np.inf, values).min(axis=0, initial=np.inf))
        self._highs[slab] = np.fmax(self._highs[slab], np.where(is_missing, -np.inf, values).max(axis=0, initial=-np.inf))

    def scales(self) -> tuple[list[float], list[float]]:
        """Return the means and the deviations; the deviation of a constant is 1."""
        means, deviations = self._means.copy(), np.sqrt(self._squares / np.maximum(self.counts, 1))
        sample = self._sample.rows()
        for slab in _slabs(len(means)):
            self._replace_by_robust(sample[:, slab], slab, means, deviations)
        deviations[deviations <= ROUNDING * np.abs(means)] = 1
        return means.tolist(), deviations.tolist()

    def _replace_by_robust(self, sample: Floats, slab: slice, means: Floats, deviations: Floats) -> None:
        columns = np.arange(len(means))[slab][~np.isnan(sample).all(axis=0)]
        if not len(columns):
            return
        sample = sample[:, columns - columns.dtype.type(slab.start)]
        quarter, median, three_quarters = np.nanpercentile(sample, [25, 50, 75], axis=0)
        reach = FAR * (three_quarters - quarter)
        low, high = median - reach, median + reach
        has_outliers = (reach > 0) & ((self._lows[columns] < low) | (self._highs[columns] > high))
        clipped = np.clip(sample[:, has_outliers], low[has_outliers], high[has_outliers])
        means[columns[has_outliers]] = np.nanmean(clipped, axis=0)
        deviations[columns[has_outliers]] = np.nanstd(clipped, axis=0)


class _RowSample:
    """Every k-th row, with k such that at most twice `limit` rows are kept."""

    def __init__(self, limit: int) -> None:
        self._limit, self._step, self._seen, self._kept = limit, 1, 0, 0
        self._parts: list[Floats] = []

    def add(self, values: Floats) -> None:
        part = values[-self._seen % self._step :: self._step].copy()
        self._seen += len(values)
        self._parts.append(part)
        self._kept += len(part)
        while self._kept > 2 * self._limit:
            rows = self.rows()[::2].copy()
            self._parts, self._kept, self._step = [rows], len(rows), 2 * self._step

    def rows(self) -> Floats:
        return np.concatenate(self._parts) if len(self._parts) != 1 else self._parts[0]


def _slabs(columns: int) -> Iterator[slice]:
    return (slice(start, min(start + _SLAB, columns)) for start in range(0, columns, _SLAB))
