"""Decoding and resizing of images. The size in the header is checked before anything is decoded."""

import base64
import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

from app.formats import deep_colour, dicom, tiff_pages
from app.formats.pixel_values import GREY, Pixels, Range, RawPixels, ValueExtent, is_deep, to_bytes, values_of

Resample = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]

MAX_PIXELS = 25_000_000
MAX_SLOW_PIXELS = 1_000_000
"""Limit of images whose decoder is written in Python and takes about a second per million pixels."""
DRAFT_SIDE = 1024
THUMBNAIL_SIDE = 96
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", *(["AVIF"] if features.check("avif") else []))
_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_COLOUR = {"RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr", "HSV"}
_PYTHON_DECODERS = {"ppm", "bmp_rle"}
_ORIENTATION = 0x0112
_TURNED = {5, 6, 7, 8}
"""EXIF orientations that exchange height and width."""
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


class PixelBudgetExceededError(Exception):
    """The images of one upload or request have more pixels than it may decode."""


class PixelBudget:
    """The number of pixels that one upload or request may still decode."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.left = limit

    def spend(self, pixels: int) -> None:
        """Subtract the pixels of an image before it is decoded. Raise PixelBudgetExceededError."""
        self.left -= pixels
        if self.left < 0:
            raise PixelBudgetExceededError(f"the images have more than {self.limit} pixels in total")


@dataclass(frozen=True, slots=True)
class ImageShape:
    """Height, width and channels (1 or 3) of an image, and the extent of its values if it has more than 8 bits."""

    height: int
    width: int
    channels: int
    values: ValueExtent | None = None

    @classmethod
    def of(cls, pixels: RawPixels) -> "ImageShape":
        """Raise InvalidImageError if no pixel has a value."""
        try:
            height, width, channels = pixels.shape
            return cls(height, width, channels, ValueExtent.of(pixels))
        except ValueError as error:
            raise InvalidImageError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small PNG as a data URL, with the size of its image."""

    url: str
    height: int
    width: int


def decode(content: bytes, budget: PixelBudget | None = None, *, page: int | None = None, side: int = DRAFT_SIDE) -> RawPixels:
    """Decode to (H, W, 1) for grey images, (H, W, 3) for others, rotated by EXIF. Raise InvalidImageError.

    The type is uint8, or that of the values of a deep image. Large JPEGs are decoded at 1/2, 1/4 or 1/8 of their size, with
    both sides still at least `side`.
    """
    with _open(content, budget, page) as image:
        return _values(image, content, side)


def measure(content: bytes, budget: PixelBudget, page: int | None = None) -> ImageShape:
    """Return the shape that `decode` would return. The image is decoded in full; only deep images become an array."""
    with _open(content, budget, page) as image:
        if is_deep(image) or image.mode not in GREY | _COLOUR or deep_colour.is_deep(image) or tiff_pages.is_signed(image):
            return ImageShape.of(_values(image, content, DRAFT_SIDE))
        image.draft(None, (DRAFT_SIDE, DRAFT_SIDE))
        image.load()
        width, height = _turned(image)
        return ImageShape(height, width, 1 if image.mode in GREY else 3)


def _values(image: Image.Image, content: bytes, side: int) -> RawPixels:
    if deep_colour.is_deep(image):
        return deep_colour.values_of(image, content)
    image.draft(None, (side, side))
    ImageOps.exif_transpose(image, in_place=True)
    return values_of(image)


def thumbnail_of_file(
    content: bytes, value_range: Range | None = None, page: int | None = None, side: int = THUMBNAIL_SIDE
) -> Thumbnail:
    """Decode an image only as far as its thumbnail needs. Raise InvalidImageError."""
    with _open(content, page=page) as image:
        width, height = _turned(image)
        values = _values(image, content, 2 * side)
    return Thumbnail(thumbnail(to_bytes(values, value_range), side), height, width)


def thumbnail_of_pixels(pixels: RawPixels, value_range: Range | None = None, side: int = THUMBNAIL_SIDE) -> Thumbnail:
    return Thumbnail(thumbnail(to_bytes(pixels, value_range), side), pixels.shape[0], pixels.shape[1])


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


def thumbnail(pixels: Pixels, side: int = THUMBNAIL_SIDE) -> str:
    """Return a PNG data URL with the longest side at most `side` pixels."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@contextmanager
def _open(content: bytes, budget: PixelBudget | None = None, page: int | None = None) -> Iterator[Image.Image]:
    """Open an image whose size and format are accepted, and convert what Pillow raises while the block decodes it."""
    try:
        with _identified(content, page) as image:
            if page is not None and not dicom.is_dicom(content):
                _select_page(image, page)
            _check_size(*image.size)
            _check_decoder(image)
            if image.format == "TIFF" and (problem := tiff_pages.content_problem(image, paged=page is not None)):
                raise InvalidImageError(problem)
            if budget is not None:
                budget.spend(image.size[0] * image.size[1])
            yield image
    except InvalidImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidImageError(f"more than {MAX_PIXELS} pixels") from error
    except _DECODE_ERRORS as error:
        reason = "truncated" if "truncated" in str(error) else "damaged"
        raise InvalidImageError(f"{reason}: it cannot be decoded") from error


def _select_page(image: Image.Image, page: int) -> None:
    """Go to a page of a file with several. Others have only page 0."""
    try:
        image.seek(page)
    except EOFError as error:
        raise InvalidImageError(f"there is no page {page}; it has {getattr(image, 'n_frames', 1)}, counted from 0") from error


def _identified(content: bytes, page: int | None) -> Image.Image:
    if not content:
        raise InvalidImageError("empty: a file of 0 bytes")
    if content[:2] in (b"P1", b"P2", b"P3"):
        raise InvalidImageError("a PNM file in plain text; convert it to a binary one (P4, P5 or P6) or to PNG")
    if dicom.is_dicom(content):
        return _from_dicom(content, page)
    formats = (*FORMATS, "HEIF") if content[4:8] == b"ftyp" and content[8:12] in _HEIC_BRANDS and _registers_heif() else FORMATS
    try:
        return Image.open(io.BytesIO(content), formats=formats)
    except UnidentifiedImageError as error:
        if reason := tiff_pages.unreadable_reason(content):
            raise InvalidImageError(reason) from error
        raise InvalidImageError("not an image of a supported format (PNG, JPEG, WebP, BMP, GIF, TIFF, PPM)") from error


def _from_dicom(content: bytes, page: int | None) -> Image.Image:
    try:
        return dicom.read(content, MAX_PIXELS, page)
    except dicom.UnreadableDicomError as error:
        raise InvalidImageError(str(error)) from error


@cache
def _registers_heif() -> bool:
    """Register the reader of HEIC, from the extra `heic`. Raise InvalidImageError without it."""
    if find_spec("pillow_heif") is None:
        raise InvalidImageError("a HEIC image, which this server cannot read; install the extra: pip install 'isthmus[heic]'")
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)
    return True


def _check_decoder(image: Image.Image) -> None:
    decoders = {tile[0] for tile in getattr(image, "tile", ())}
    if decoders & _PYTHON_DECODERS and image.size[0] * image.size[1] > MAX_SLOW_PIXELS:
        raise InvalidImageError(f"more than {MAX_SLOW_PIXELS} pixels in a rare encoding of {image.format}; convert it to PNG")


def _turned(image: Image.Image) -> tuple[int, int]:
    """Return width and height after the rotation by EXIF."""
    width, height = image.size
    return (height, width) if image.getexif().get(_ORIENTATION) in _TURNED else (width, height)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise InvalidImageError(f"{width} x {height} pixels: at most {MAX_PIXELS} pixels are accepted")
    if not width * height:
        raise InvalidImageError("an image without pixels")


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
