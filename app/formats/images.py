"""Decoding and resizing of images. The size in the header is checked before anything is decoded."""

import base64
import io
import struct
import zlib
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

Pixels = NDArray[np.uint8]
Resample = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]

MAX_PIXELS = 50_000_000
DRAFT_SIDE = 1024
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
_GREY = {"1", "L", "LA", "La", "I", "F"}
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
)


class InvalidImageError(ValueError):
    """The bytes are not a usable image. The message gives the reason."""


def decode(content: bytes) -> Pixels:
    """Decode to uint8 (H, W, 1) for grey images, (H, W, 3) for others, rotated by EXIF. Raise InvalidImageError.

    Large JPEGs are decoded at 1/2, 1/4 or 1/8 of their size, with both sides still at least `DRAFT_SIDE`.
    """
    try:
        with _open(content) as image:
            _check_size(*image.size)
            image.draft(None, (DRAFT_SIDE, DRAFT_SIDE))
            ImageOps.exif_transpose(image, in_place=True)
            return _pixels(image)
    except InvalidImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidImageError(f"more than {MAX_PIXELS} pixels") from error
    except _DECODE_ERRORS as error:
        reason = "truncated" if "truncated" in str(error) else "damaged"
        raise InvalidImageError(f"{reason}: it cannot be decoded") from error


def as_channels(pixels: Pixels, channels: int) -> Pixels:
    """Convert grey to RGB or RGB to grey: (H, W, channels)."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    return np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]


def resize(pixels: Pixels, height: int, width: int, resample: Resample = "bilinear") -> Pixels:
    """Resize (H, W, C) to (height, width, C). Return the same array if it has that size."""
    if pixels.shape[:2] == (height, width):
        return pixels
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    result = np.asarray(image.resize((width, height), Image.Resampling[resample.upper()]))
    return result[:, :, None] if result.ndim == 2 else result


def crop(pixels: Pixels, height: int, width: int) -> Pixels:
    """Crop the centre (height, width, C), padded with black where the image is smaller."""
    missing = [max(0, height - pixels.shape[0]), max(0, width - pixels.shape[1])]
    if any(missing):
        pixels = np.pad(pixels, [(gap // 2, gap - gap // 2) for gap in missing] + [(0, 0)])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def thumbnail(pixels: Pixels, side: int = 96) -> str:
    """Return a PNG data URL with the longest side at most `side` pixels."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _open(content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise InvalidImageError("not an image of a supported format (PNG, JPEG, WebP, BMP, GIF, TIFF, PPM)") from error


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise InvalidImageError(f"{width} x {height} pixels: at most {MAX_PIXELS} pixels are accepted")
    if not width * height:
        raise InvalidImageError("an image without pixels")


def _pixels(image: Image.Image) -> Pixels:
    if image.mode.startswith("I;16"):  # Pillow's own conversion clips instead of scaling
        return (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)[:, :, None]
    if image.mode in _GREY:
        return np.asarray(_in_mode(image, "L"))[:, :, None]
    return np.asarray(_in_mode(image, "RGB"))


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """Convert the mode only if it differs, because Pillow always copies."""
    return image if image.mode == mode else image.convert(mode)


def from_lists(value: list[object]) -> Pixels:
    """Convert nested lists (H, W), (H, W, 1) or (H, W, 3) of integers 0..255. Raise InvalidImageError."""
    try:
        pixels = np.array(value)
    except ValueError as error:
        raise InvalidImageError("rows of different lengths") from error
    if pixels.dtype.kind not in "iu" or pixels.ndim not in (2, 3) or not pixels.size:
        raise InvalidImageError("expected nested lists of integers: (H, W), (H, W, 1) or (H, W, 3)")
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    if pixels.shape[2] not in (1, 3):
        raise InvalidImageError(f"{pixels.shape[2]} channels; expected 1 or 3")
    if pixels.min() < 0 or pixels.max() > 255:
        raise InvalidImageError("a pixel outside 0..255")
    _check_size(pixels.shape[1], pixels.shape[0])
    return pixels.astype(np.uint8)


class ChannelStats:
    """Mean and standard deviation of pixels / 255 per channel, from exact counts of all 256 values."""

    def __init__(self) -> None:
        self.channels: Literal[1, 3] = 1
        self.counts = np.zeros((3, 256), np.int64)

    def add(self, pixels: Pixels) -> None:
        """Count one image. Grey counts in all three channels."""
        if pixels.shape[2] == 1:
            self.counts += np.bincount(pixels.ravel(), minlength=256)
            return
        self.channels = 3
        for channel in range(3):
            self.counts[channel] += np.bincount(pixels[:, :, channel].ravel(), minlength=256)

    def moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation per channel, in 0..1. The deviation of a constant channel is 1."""
        counts = self.counts[: self.channels]
        values = np.arange(256) / 255
        total = np.maximum(counts.sum(axis=1), 1)
        mean = counts @ values / total
        variance = (counts * np.square(values - mean[:, None])).sum(axis=1) / total
        deviation = np.where(variance > 0, np.sqrt(variance), 1.0)
        return tuple(mean.tolist()), tuple(deviation.tolist())


class SizeRange:
    """The smallest and largest height and width."""

    def __init__(self) -> None:
        self.least = [1 << 31, 1 << 31]
        self.most = [0, 0]

    def add(self, pixels: Pixels) -> None:
        for axis in (0, 1):
            self.least[axis] = min(self.least[axis], pixels.shape[axis])
            self.most[axis] = max(self.most[axis], pixels.shape[axis])

    def as_details(self) -> dict[str, list[int]]:
        return {"height": [self.least[0], self.most[0]], "width": [self.least[1], self.most[1]]}
