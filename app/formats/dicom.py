"""DICOM images, with the extra `dicom`: grey values in their own unit, such as Hounsfield units, or colours of 8 bits."""

import io
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_PREAMBLE, _MAGIC = 128, b"DICM"
MISSING = "a DICOM file, which this server cannot read; install the extra: pip install 'isthmus[dicom]'"


class UnreadableDicomError(ValueError):
    """The file cannot be used. The message gives the reason."""


def is_dicom(content: bytes) -> bool:
    return content[_PREAMBLE : _PREAMBLE + len(_MAGIC)] == _MAGIC


def read(content: bytes, max_pixels: int, page: int | None) -> Image.Image:
    """Return one image in mode `I`, `F` or `RGB`. Raise UnreadableDicomError."""
    if find_spec("pydicom") is None:
        raise UnreadableDicomError(MISSING)
    from pydicom import dcmread  # the extra
    from pydicom.pixels.utils import pixel_array

    try:
        data = dcmread(io.BytesIO(content))
        pixels, frames = int(data.Rows) * int(data.Columns), int(data.get("NumberOfFrames") or 1)
        _check(pixels, max_pixels, frames, page)
        values = pixel_array(data, index=page or 0)
        return Image.fromarray(_values(data, np.asarray(values)))
    except UnreadableDicomError:
        raise
    except Exception as error:  # damaged tags raise errors of many types
        raise UnreadableDicomError("a DICOM file that is damaged, without pixels, or compressed in an unsupported way") from error


def _check(pixels: int, max_pixels: int, frames: int, page: int | None) -> None:
    if not 0 < pixels <= max_pixels:
        raise UnreadableDicomError(f"{pixels} pixels: between 1 and {max_pixels} pixels are accepted")
    if frames > 1 and page is None:
        raise UnreadableDicomError(f"a DICOM file with {frames} frames; select one by the option `page`, from 0")
    if page is not None and page >= frames:
        raise UnreadableDicomError(f"there is no page {page}; it has {frames}, counted from 0")


def _values(data: Any, values: NDArray[Any]) -> NDArray[Any]:
    """Return (H, W) in the unit of the rescaling, or (H, W, 3) of 8 bits."""
    if values.ndim == 3:
        return values
    slope, intercept = float(data.get("RescaleSlope", 1)), float(data.get("RescaleIntercept", 0))
    scaled = values.astype(np.float64) * slope + intercept
    if data.get("PhotometricInterpretation") == "MONOCHROME1":  # the smallest value is white
        scaled = -scaled
    is_whole = slope.is_integer() and intercept.is_integer()
    return scaled.astype(np.int32 if is_whole else np.float32)
