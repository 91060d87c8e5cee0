"""What a TIFF contains, from its tags: bands, bits and pages."""

import io

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

_SUBFILE, _BITS, _BANDS, _EXTRA, _SAMPLE_FORMAT = 254, 258, 277, 338, 339
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NO_PAGE = 5
"""Bits of the tag of a page that is a smaller copy or a mask of another one."""
_MAX_COPIES = 32
_SEVERAL_PAGES = "a TIFF with more than one page; select one by the option `page`, from 0, or save each page as a file of its own"
_KINDS = {1: "unsigned integers", 2: "signed integers", 3: "floats"}
_ACCEPTED = "accepted are 1 band (grey) or 3 bands (colour), also with transparency"


def unreadable_reason(content: bytes) -> str | None:
    """Return why Pillow cannot open these bytes; None if they are not a TIFF with readable tags."""
    if content[:4] not in _MAGIC:
        return None
    stream = io.BytesIO(content)
    try:
        tags = ImageFileDirectory_v2(stream.read(16 if content[2:3] == b"+" or content[3:4] == b"+" else 8))
        stream.seek(tags.next)
        tags.load(stream)
        bands, bits, kind = tags.get(_BANDS, 1), max(tags.get(_BITS, (1,))), max(tags.get(_SAMPLE_FORMAT, (1,)))
    except Exception:  # noqa: BLE001  # damaged tags raise errors of many types
        return "a damaged TIFF"
    if 256 not in tags:  # no width
        return "a damaged TIFF"
    kind_name = _KINDS.get(kind, "values of an unknown kind")
    return _bands_problem(bands, ()) or f"a TIFF with {bands} bands of {kind_name} of {bits} bits, which is not supported"


def content_problem(image: Image.Image, *, paged: bool = False) -> str | None:
    """Return why an opened TIFF cannot be used as one image, or None. `paged`: its page was selected."""
    tags = getattr(image, "tag_v2", {})
    problem = _bands_problem(tags.get(_BANDS, 1), tags.get(_EXTRA, ()))
    return problem or (None if paged or not _has_pages(image) else _SEVERAL_PAGES)


def is_signed(image: Image.Image) -> bool:
    """Return whether the values are signed integers."""
    return bool(max(getattr(image, "tag_v2", {}).get(_SAMPLE_FORMAT, (1,))) == 2)


def _bands_problem(bands: int, extra: tuple[int, ...]) -> str | None:
    unnamed = bands == 2 and extra == (0,)
    return f"a TIFF with {bands} bands; {_ACCEPTED}" if bands > 4 or unnamed else None


def _has_pages(image: Image.Image) -> bool:
    """Return whether another page follows that is no smaller copy or mask."""
    try:
        for number in range(1, _MAX_COPIES):
            image.seek(number)
            if not getattr(image, "tag_v2", {}).get(_SUBFILE, 0) & _NO_PAGE:
                return True
    except EOFError:
        return False
    finally:
        image.seek(0)
    return True
