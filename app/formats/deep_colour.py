"""Colour images of 16 bits per channel, of which Pillow returns the high bytes only."""

import io
import sys
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from app.formats import pixel_values
from app.formats.pixel_values import RawPixels

_LOW_OF_NATIVE = "B" if sys.byteorder == "little" else "L"
_SWAPPED = {
    f"{colours};16{order}": f"{colours};16{low}"
    for colours in ("RGB", "RGBA", "RGBX")
    for order, low in (("B", "L"), ("L", "B"), ("N", _LOW_OF_NATIVE))
}
"""Raw modes that unpack the high byte of each number, with those that unpack the low byte of the same data."""


def is_deep(image: Image.Image) -> bool:
    """Return whether the colours of an image that is not loaded yet have 16 bits."""
    tiles = getattr(image, "tile", ())
    return bool(tiles) and all(_raw_mode(tile.args) in _SWAPPED for tile in tiles)


def values_of(image: Image.Image, content: bytes) -> RawPixels:
    """Return uint16 (H, W, 3), rotated by EXIF. Transparent images get 8 bits and are read over one colour."""
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "RGBA" and image.getchannel("A").getextrema() != (255, 255):
        return pixel_values.values_of(image)
    high = np.asarray(image.convert("RGB"))
    with Image.open(io.BytesIO(content), formats=("PNG", "TIFF")) as again:
        again.tile = [tile._replace(args=_with_low_bytes(tile.args)) for tile in again.tile]
        ImageOps.exif_transpose(again, in_place=True)
        low = np.asarray(again.convert("RGB"))
    values: RawPixels = high.astype(np.uint16) << 8 | low
    return values


def _raw_mode(args: Any) -> str:
    return str(args[0] if isinstance(args, tuple) and args else args)


def _with_low_bytes(args: Any) -> Any:
    swapped = _SWAPPED[_raw_mode(args)]
    return (swapped, *args[1:]) if isinstance(args, tuple) else swapped
