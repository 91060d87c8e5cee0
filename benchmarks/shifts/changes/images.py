"""Shifts of images, uint8 arrays (n, height, width) or (n, height, width, 3)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage

from benchmarks.shifts.changes.labels import CHANGES as LABEL_CHANGES
from benchmarks.shifts.changes.labels import with_label_shift
from benchmarks.shifts.rows import Change, Domains, Random, Rows, halves

Pixels = Any
"""An array of float, whose operations numpy types as Any."""


def _corrupted(corrupt: Callable[[Pixels, Random], Pixels]) -> Change:
    def change(rows: Rows, random: Random) -> Domains:
        source, target = halves(rows, random)
        pixels = corrupt(target.inputs.astype(np.float64), random)
        return source, target.with_inputs(pixels.clip(0, 255).round().astype(np.uint8))

    return change


def _rotate(pixels: Pixels, random: Random) -> Pixels:
    return ndimage.rotate(pixels, 25, axes=(2, 1), reshape=False, order=1)


def _darken(pixels: Pixels, random: Random) -> Pixels:
    return 0.35 * pixels + 60


def _noise(pixels: Pixels, random: Random) -> Pixels:
    return pixels + 60 * random.normal(size=pixels.shape)


def _shift(pixels: Pixels, random: Random) -> Pixels:
    return np.roll(pixels, (1, max(1, pixels.shape[2] // 8)), axis=(1, 2))


def _invert(pixels: Pixels, random: Random) -> Pixels:
    return 255 - pixels


def _blur(pixels: Pixels, random: Random) -> Pixels:
    return ndimage.gaussian_filter(pixels, (0, 1, 1) + (0,) * (pixels.ndim - 3))


CHANGES: dict[str, Change] = {
    **LABEL_CHANGES,
    "rotation": _corrupted(_rotate),
    "contrast": _corrupted(_darken),
    "noise": _corrupted(_noise),
    "translation": _corrupted(_shift),
    "inverted": _corrupted(_invert),
    "blur": _corrupted(_blur),
    "contrast-labels": with_label_shift(_corrupted(_darken)),
    "noise-labels": with_label_shift(_corrupted(_noise)),
}
