"""Pictures and labels out of ImageFolder archives and npz arrays.

A class is a folder: `class_name/picture.png`. Pictures at the top level are an unlabelled dataset; deeper folders and
mixtures of both are refused. An npz holds `x`, uint8 (N, H, W) or (N, H, W, C), and `y`, whole numbers or strings.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from app.errors import FieldError, InvalidDataset
from app.formats import archives, arrays
from app.formats.pictures import MAX_PIXELS, SUFFIXES, BadPicture, Pixels, decode
from app.formats.places import Places, pointer, printable

CHUNK_PIXELS = 4_000_000


@dataclass(frozen=True, slots=True)
class Labelled:
    """uint8 (H, W, 1 or 3) and the class, None when unlabelled."""

    pixels: Pixels
    label: str | None


def read(path: Path, format: str, places: Places) -> Iterator[Labelled]:
    """All pictures in a fixed order. What is wrong goes into `places`."""
    return _read_npz(path, places) if format == "npz" else _read_folders(path, format, places)


def _read_folders(path: Path, format: str, places: Places) -> Iterator[Labelled]:
    kinds: set[bool] = set()
    for member in archives.members(path, format, places):
        parts = PurePosixPath(member.name).parts
        problem = _layout_problem(parts, kinds)
        if problem is None:
            kinds.add(len(parts) == 2)
            try:
                yield Labelled(decode(member.read()), parts[0] if len(parts) == 2 else None)
            except BadPicture as error:
                problem = str(error)
        if problem is not None:
            places.add(pointer("files", member.name), f"{printable(member.name)}: {problem}")


def _layout_problem(parts: tuple[str, ...], kinds: set[bool]) -> str | None:
    """`kinds`: whether the pictures so far are in class folders."""
    if len(parts) > 2:
        return "a folder inside a class folder; expected class_name/picture.png from the top of the archive on"
    if not parts[-1].lower().endswith(SUFFIXES):
        return "not a picture"
    if kinds and (len(parts) == 2) not in kinds:
        return "some pictures are in class folders and some are not"
    return None


def _read_npz(path: Path, places: Places) -> Iterator[Labelled]:
    headers = arrays.headers(path)
    _check_npz(headers, places)
    places.check()
    shape = headers["x"].shape
    size = max(1, min(1024, CHUNK_PIXELS // (shape[1] * shape[2])))
    labels = _npz_labels(path, size) if "y" in headers else None
    for block in arrays.rows(path, "x", size):
        for pixels in block.reshape(*block.shape[:3], -1):
            yield Labelled(pixels, next(labels) if labels else None)


def _npz_labels(path: Path, size: int) -> Iterator[str]:
    for block in arrays.rows(path, "y", size):
        names = np.char.decode(block, "utf-8", "replace") if block.dtype.kind == "S" else block
        yield from map(str, names.tolist())


def _check_npz(headers: dict[str, arrays.Header], places: Places) -> None:
    if "x" not in headers:
        names = ", ".join(map(repr, headers)) or "none"
        detail = f"there is no array 'x'; the arrays are: {printable(names)}"
        raise InvalidDataset(detail, [FieldError("/x", detail)])
    for name in headers.keys() - {"x", "y"}:
        places.add(pointer(name), f"unknown array {printable(name)!r}; expected x and, for labels, y")
    x, y = headers["x"], headers.get("y")
    if x.dtype != np.uint8:
        places.add("/x", f"x is of type {x.dtype}, expected uint8")
    if len(x.shape) not in (3, 4) or (len(x.shape) == 4 and x.shape[3] not in (1, 3)):
        places.add("/x", f"x has shape {x.shape}, expected (N, H, W), (N, H, W, 1) or (N, H, W, 3)")
    elif not 0 < x.shape[1] * x.shape[2] <= MAX_PIXELS:
        places.add("/x", f"pictures of {x.shape[1]} x {x.shape[2]} pixels; between 1 and {MAX_PIXELS} pixels are accepted")
    if y is not None and (y.dtype.kind not in "iuSU" or y.dtype.itemsize > 4 * 200):
        places.add("/y", f"y is of type {y.dtype}, expected whole numbers or short strings")
    if y is not None and y.shape != x.shape[:1]:
        places.add("/y", f"y has shape {y.shape}, expected {x.shape[:1]}: one label a picture")
