"""Statistics of images: mean and deviation of the channels, range of the sizes."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from app.formats.images import ImageShape
from app.formats.pixel_values import Pixels

BLOCK_PIXELS = 2**20


class ChannelStats:
    """Mean and standard deviation of pixels / 255 per channel, from exact counts of all 256 values."""

    def __init__(self) -> None:
        self.channels: Literal[1, 3] = 1
        self.counts = np.zeros((3, 256), np.int64)

    def add(self, pixels: Pixels) -> None:
        """Count one image. Grey counts in all three channels."""
        if pixels.shape[2] == 1:
            self.counts += _counts(pixels.ravel())
            return
        self.channels = 3
        for channel in range(3):
            self.counts[channel] += _counts(pixels[:, :, channel].ravel())

    def moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation per channel, in 0..1. The deviation of a constant channel is 1."""
        counts = self.counts[: self.channels]
        values = np.arange(256) / 255
        total = np.maximum(counts.sum(axis=1), 1)
        mean = counts @ values / total
        variance = (counts * np.square(values - mean[:, None])).sum(axis=1) / total
        deviation = np.where(variance > 0, np.sqrt(variance), 1.0)
        return tuple(mean.tolist()), tuple(deviation.tolist())


def _counts(values: Pixels) -> NDArray[np.int64]:
    """Count each of the 256 values. NumPy converts what it counts to 8 bytes each, so it gets a block at a time."""
    counts = np.zeros(256, np.int64)
    for start in range(0, len(values), BLOCK_PIXELS):
        counts += np.bincount(values[start : start + BLOCK_PIXELS], minlength=256)
    return counts


class SizeRange:
    """The smallest and largest height and width."""

    def __init__(self) -> None:
        self.least = [1 << 31, 1 << 31]
        self.most = [0, 0]

    def add(self, shape: ImageShape) -> None:
        for axis, side in enumerate((shape.height, shape.width)):
            self.least[axis] = min(self.least[axis], side)
            self.most[axis] = max(self.most[axis], side)

    def as_details(self) -> dict[str, list[int]]:
        return {"height": [self.least[0], self.most[0]], "width": [self.least[1], self.most[1]]}
