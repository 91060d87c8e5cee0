"""Shifts of series, float32 arrays (n, channels, time)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage

from benchmarks.shifts.changes.labels import CHANGES as LABEL_CHANGES
from benchmarks.shifts.changes.labels import with_label_shift
from benchmarks.shifts.rows import Change, Domains, Random, Rows, halves

Series = Any
"""An array of float, whose operations numpy types as Any."""


def _corrupted(corrupt: Callable[[Series, Random], Series]) -> Change:
    def change(rows: Rows, random: Random) -> Domains:
        source, target = halves(rows, random)
        return source, target.with_inputs(corrupt(target.inputs.astype(np.float64), random).astype(np.float32))

    return change


def _gain(series: Series, random: Random) -> Series:
    gain = np.exp(0.6 * random.normal(size=(1, series.shape[1], 1)))
    return gain * series + series.std() * random.normal(size=gain.shape)


def _noise(series: Series, random: Random) -> Series:
    return series + series.std() * random.normal(size=series.shape)


def _slower(series: Series, random: Random) -> Series:
    time = np.linspace(0, 0.75 * (series.shape[2] - 1), series.shape[2])
    return ndimage.map_coordinates(series, np.meshgrid(*map(np.arange, series.shape[:2]), time, indexing="ij"), order=1)


def _smooth(series: Series, random: Random) -> Series:
    return ndimage.gaussian_filter1d(series, 2.0, axis=2)


def _trend(series: Series, random: Random) -> Series:
    return series + 2 * series.std() * np.linspace(-1, 1, series.shape[2])


CHANGES: dict[str, Change] = {
    **LABEL_CHANGES,
    "gain": _corrupted(_gain),
    "noise": _corrupted(_noise),
    "slower": _corrupted(_slower),
    "smooth": _corrupted(_smooth),
    "trend": _corrupted(_trend),
    "gain-labels": with_label_shift(_corrupted(_gain)),
}
