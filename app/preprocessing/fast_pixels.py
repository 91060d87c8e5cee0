"""JSON lists of pixels that are a network's input as they stand.

The general parser handles all other inputs: base64, fractions, images that must be resized, and errors.
"""

import numpy as np
import orjson
from numpy.typing import NDArray

from app.formats import json_pixels

SMALL_TEXT_BYTES = 8192
"""Up to this size, Python lists of a few thousand numbers are faster than operations on their text."""
_NOT_INTEGERS = (b".", b"e", b"E", b'"')
"""Characters of fractions, booleans and strings, some of which `bytes` would convert to numbers."""


def parse(text: bytes, shape: tuple[int, int, int], max_images: int) -> NDArray[np.uint8] | None:
    """Return the uint8 images (n, height, width, channels) of a JSON array; None if it is anything else."""
    if not text.startswith(b"[["):
        return None
    is_large = len(text) > SMALL_TEXT_BYTES or shape[2] > 1 or text.startswith(b"[[[[")
    images = json_pixels.parse_pixels(text, shape) if is_large else _parse_small(text, shape)
    return images if images is not None and len(images) <= max_images else None


def _parse_small(text: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint8] | None:
    if any(sign in text for sign in _NOT_INTEGERS):
        return None
    height, width, _ = shape
    try:
        images = orjson.loads(text)
        rows = [row for image in images for row in image]
        if set(map(len, images)) != {height} or set(map(len, rows)) != {width}:
            return None
        return np.frombuffer(b"".join(map(bytes, rows)), np.uint8).reshape(-1, *shape)
    except (ValueError, TypeError, OverflowError):
        return None
