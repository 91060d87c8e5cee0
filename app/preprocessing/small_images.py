"""Small image files of requests, which the event loop may decode itself: a thread costs more than their pixels.

Their header bounds the pixels, but not the work: a compressed text in a PNG or many scans in a JPEG take long to decode. Such
files, and other formats, are decoded in threads.
"""

import io
from collections.abc import Sequence

from PIL import Image

MAX_PIXELS = 2**17
"""Pixels of all images of a request, about a millisecond."""
MAX_BYTES = 2**17
MAX_JPEG_SCANS = 12
FORMATS = ("JPEG", "PNG")
_SCAN, _COMPRESSED_TEXT = b"\xff\xda", (b"zTXt", b"iTXt", b"iCCP")


def are_small(files: Sequence[bytes]) -> bool:
    """Return whether these are JPEGs and PNGs that take little time to decode."""
    if sum(map(len, files)) > MAX_BYTES:
        return False
    pixels = 0
    for content in files:
        if content.count(_SCAN) > MAX_JPEG_SCANS or any(chunk in content for chunk in _COMPRESSED_TEXT):
            return False
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                pixels += image.size[0] * image.size[1]
        except Exception:  # noqa: BLE001  # Pillow raises many types for damaged files; the routes report them
            return False
        if pixels > MAX_PIXELS:
            return False
    return True
