"""Values of pixels: 8 bits as they are, deeper images in their own unit, transparent ones over one colour.

Context: 16 bits hold 12 bits of a scanner, Hounsfield units or photographs, and floats may end at 1. No fixed scale suits all.
Decision: an image is read with its own values. The smallest and largest value of the dataset become 0 and 255, except for
outliers, and the model keeps this range for predictions. Without a range, 16 bits lose their lower byte and others are clipped.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
RawPixels = NDArray[Any]
"""Pixels of 8 bits, or the values of a deeper image: integers or floats."""
Range = tuple[float, float]

SAMPLED_PIXELS = 65_536
OUTLIER_PERCENT = 0.1
MAX_WIDENING = 2
"""Factor by which outliers may widen a range before they are cut off."""
MIN_CONTRAST = 32
"""Below this contrast, transparent ink is not visible over white."""
_LARGEST_FLOAT = 1e30
"""Larger values, also infinite ones, mean that a pixel has no value."""


@dataclass(frozen=True, slots=True)
class ValueExtent:
    """Type of the values of a deep image, its smallest and largest value, and those without outliers."""

    type: str
    least: float
    most: float
    low: float
    high: float

    @classmethod
    def of(cls, values: RawPixels) -> "ValueExtent | None":
        """Return None for 8 bits. Raise ValueError if no pixel has a value."""
        if values.dtype == np.uint8:
            return None
        present = values[_has_value(values)] if values.dtype.kind == "f" else values.ravel()
        if not present.size:
            raise ValueError("no pixel has a value: all are NaN or infinite")
        sample = present[:: max(1, present.size // SAMPLED_PIXELS)]
        low, high = np.percentile(sample, (OUTLIER_PERCENT, 100 - OUTLIER_PERCENT), method="nearest")
        return cls(str(values.dtype), float(present.min()), float(present.max()), float(low), float(high))


class ValueRanges:
    """The range of the values of all deep images of a dataset."""

    def __init__(self) -> None:
        self.extents: set[ValueExtent] = set()

    def add(self, extent: ValueExtent | None) -> None:
        if extent is not None:
            self.extents = {extent, *self.extents} if len(self.extents) < 2 else {_union(extent, *self.extents)}

    def as_details(self) -> dict[str, Any]:
        """Return the type and range for the profile, nothing if all images have 8 bits."""
        if not self.extents:
            return {}
        whole = _union(*self.extents)
        outliers = whole.most - whole.least > MAX_WIDENING * (whole.high - whole.low) > 0
        limits = [whole.low, whole.high] if outliers else [whole.least, whole.most]
        return {"values": {"type": whole.type, "range": limits}}


def _union(*extents: ValueExtent) -> ValueExtent:
    return ValueExtent(
        ", ".join(sorted({name for extent in extents for name in extent.type.split(", ")})),
        min(extent.least for extent in extents),
        max(extent.most for extent in extents),
        min(extent.low for extent in extents),
        max(extent.high for extent in extents),
    )


def to_bytes(values: RawPixels, value_range: Range | None) -> Pixels:
    """Scale the values of a deep image to 0..255. Values outside the range are cut off; missing ones become 0."""
    if values.dtype == np.uint8:
        return values
    if value_range is None and values.dtype == np.uint16:
        return (values >> 8).astype(np.uint8)
    low, high = value_range or (0.0, 255.0)
    numbers: NDArray[Any] = values.astype(np.float64 if values.dtype.itemsize > 2 and values.dtype.kind in "iu" else np.float32)
    if values.dtype.kind == "f":
        numbers[~_has_value(values)] = low
    np.subtract(numbers, low, out=numbers)
    np.multiply(numbers, 255 / (high - low) if high > low else 1.0, out=numbers)
    scaled: Pixels = np.rint(numbers.clip(0, 255, out=numbers), out=numbers).astype(np.uint8)
    return scaled


def values_of(image: Image.Image) -> RawPixels:
    """Return (H, W, 1) for grey images, (H, W, 3) for others: uint8, or the values of a deep image. The image is used up."""
    if is_deep(image):
        return _deep_values(image)[:, :, None]
    if image.mode == "L" and _is_signed(image):  # signed bytes, which Pillow reads as unsigned ones
        return np.asarray(image).view(np.int8).astype(np.int16)[:, :, None]
    if image.has_transparency_data:
        image = _over_one_colour(image)
    if image.mode in GREY:
        return np.asarray(_in_mode(image, "L"))[:, :, None]
    return np.asarray(_in_mode(image, "RGB"))


GREY = {"1", "L", "LA", "La", "I", "F"}


def is_deep(image: Image.Image) -> bool:
    """Return whether the pixels are grey values of more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _is_signed(image: Image.Image) -> bool:
    return _tag(image, 339) == 2


def _deep_values(image: Image.Image) -> RawPixels:
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        values = values.astype(np.uint16)
        return 65535 - values if _tag(image, 262) == 0 else values  # white is zero
    return values.view(np.uint32) if image.mode == "I" and _tag(image, 339, 1) == 1 and _tag(image, 258) == 32 else values


def _tag(image: Image.Image, number: int, default: int | None = None) -> int | None:
    """Return the first value of a TIFF tag. Images of other formats have none."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return None
    value = tags.get(number, default)
    first: int | None = value[0] if isinstance(value, tuple) else value
    return first


def _over_one_colour(image: Image.Image) -> Image.Image:
    """Compose a transparent image over white, or over black if it can hardly be seen over white."""
    has_grey = image.mode in GREY
    image = _in_mode(image, "RGBA")
    if image.getchannel("A").getextrema() != (255, 255):
        over_white = _contrast(_over(image, "white"))  # one composed image at a time, since they may be large
        is_hidden = over_white < MIN_CONTRAST and over_white < _contrast(_over(image, "black"))
        image = _over(image, "black" if is_hidden else "white")
    return _in_mode(image, "L" if has_grey else "RGB")


def _over(image: Image.Image, colour: str) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", image.size, colour), image)


def _contrast(image: Image.Image) -> int:
    return int(np.ptp(np.asarray(image.convert("L"))))


def _has_value(values: RawPixels) -> NDArray[np.bool_]:
    return np.abs(values) < _LARGEST_FLOAT


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """Convert the mode only if it differs, because Pillow always copies, and free the memory of the original."""
    if image.mode == mode:
        return image
    converted = image.convert(mode)
    image.close()
    return converted
