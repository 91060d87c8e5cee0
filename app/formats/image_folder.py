"""Images and labels of ImageFolder archives and npz files.

A class is a folder: `class_name/image.png`. Images at the top level, or in one folder, are an unlabelled dataset. Deeper folders
and mixtures of both are rejected. One folder may enclose all class folders (`photos/class_name/image.png`), as in an archive of a
whole folder. With a split, only images below the folder of that name are read (`train/class_name/image.png`).
An npz holds `x`, uint8 or deeper values (N, H, W) or (N, H, W, C), and `y`, integers or strings.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Generic, TypeVar

from app.errors import FieldError, InvalidDataset
from app.formats import archives, image_parquet, npz
from app.formats.images import (
    MAX_PIXELS,
    THUMBNAIL_SIDE,
    ImageShape,
    InvalidImageError,
    PixelBudget,
    Thumbnail,
    decode,
    measure,
    thumbnail_of_file,
    thumbnail_of_pixels,
)
from app.formats.names import canonical_name
from app.formats.pixel_values import Range, RawPixels
from app.formats.validation import ErrorCollector, pointer, printable

CHUNK_PIXELS = 4_000_000
SPLITS = frozenset(["train", "training", "val", "valid", "validation", "test", "testing"])

Layout = tuple[bool, tuple[str, ...]]
Content = TypeVar("Content")


@dataclass(frozen=True, slots=True)
class ImageErrors:
    """Errors of the dataset, and those of single files, which may be left out."""

    data: ErrorCollector = field(default_factory=ErrorCollector)
    files: ErrorCollector = field(default_factory=ErrorCollector)


@dataclass(frozen=True, slots=True)
class LabelledImage(Generic[Content]):
    """What was read of an image, and its class, None if unlabelled."""

    content: Content
    label: str | None


@dataclass(frozen=True, slots=True)
class Selection:
    """What to read of an archive: the folder of a `split`, and the `page` of each file with several, from 0."""

    split: str | None = None
    page: int | None = None


EVERYTHING = Selection()


@dataclass(frozen=True, slots=True)
class ImageReader(Generic[Content]):
    """What to read of each image: its pixels, its shape or its thumbnail. No more than that is decoded."""

    of_file: Callable[[bytes, int | None], Content]
    """Takes the bytes, and the page of a file with several."""
    of_pixels: Callable[[RawPixels], Content]


PIXELS: ImageReader[RawPixels] = ImageReader(lambda content, page: decode(content, page=page), lambda pixels: pixels)


def thumbnails(value_range: Range | None, side: int = THUMBNAIL_SIDE) -> ImageReader[Thumbnail]:
    """Return the reader of thumbnails, with the range of the dataset's values if they have more than 8 bits."""
    return ImageReader(
        lambda content, page: thumbnail_of_file(content, value_range, page, side),
        lambda pixels: thumbnail_of_pixels(pixels, value_range, side),
    )


def only(reader: ImageReader[Content], positions: Collection[int]) -> ImageReader[Content | None]:
    """Return a reader that decodes the images at these positions and returns None for the others."""
    numbers = count()
    return ImageReader(
        lambda content, page: reader.of_file(content, page) if next(numbers) in positions else None,
        lambda pixels: reader.of_pixels(pixels) if next(numbers) in positions else None,
    )


def shapes(budget: PixelBudget) -> ImageReader[ImageShape]:
    """Return the reader of shapes, which decodes each file in full. It raises PixelBudgetExceededError."""
    return ImageReader(lambda content, page: measure(content, budget, page), ImageShape.of)


def read(
    path: Path,
    format: str,
    reader: ImageReader[Content],
    errors: ImageErrors,
    selection: Selection = EVERYTHING,
) -> Iterator[LabelledImage[Content]]:
    """Yield all selected images in a fixed order. Add an error for each invalid file."""
    if format == "npz":
        return _read_npz(path, reader, errors.data)
    if format == "parquet":
        return _read_parquet(path, reader, errors, selection)
    return _read_folders(path, format, reader, errors, selection)


def has_image_array(path: Path) -> bool:
    """Return whether an npz has no `x`, or one of the type and shape of images. Raise InvalidDataset."""
    x = npz.headers(path).get("x")
    return x is None or (x.dtype.kind in "iuf" and _is_image_shape(x.shape) and not npz.is_oblong(x))


def _read_folders(
    path: Path, format: str, reader: ImageReader[Content], errors: ImageErrors, selection: Selection
) -> Iterator[LabelledImage[Content]]:
    layouts: set[Layout] = set()
    for member in archives.members(path, format, errors.data):
        parts = PurePosixPath(member.name).parts
        if selection.split is not None:
            parts = _below(parts, selection.split)
            if not parts:
                continue
        problem = _layout_problem(parts, layouts)
        if problem is not None:
            errors.data.add(pointer("files", member.name), f"{printable(member.name)}: {problem}")
            continue
        layouts.add(_layout(parts))
        try:
            content = reader.of_file(member.read(), selection.page)
        except InvalidImageError as error:
            errors.files.add(pointer("files", member.name), f"{printable(member.name)}: {error}")
        else:
            yield LabelledImage(content, canonical_name(parts[-2]) or "" if len(parts) > 1 else None)


def _below(parts: tuple[str, ...], split: str) -> tuple[str, ...]:
    """Return the parts below the folder of the split, at the top or in one enclosing folder; none elsewhere."""
    return next((parts[depth + 1 :] for depth, name in enumerate(parts[:-1][:2]) if name.lower() == split.lower()), ())


def _layout(parts: tuple[str, ...]) -> Layout:
    """Return whether an image is in a class folder, and the enclosing folder."""
    return len(parts) > 1, parts[:-2]


def _layout_problem(parts: tuple[str, ...], layouts: set[Layout]) -> str | None:
    """Return why a file does not fit the layout of the images so far, or None. `layouts` has at most one element."""
    if len(parts) > 3:
        return "a folder inside a class folder; expected class_name/image.png, with at most one folder around all classes"
    if not layouts or _layout(parts) in layouts:
        return None
    if any(in_class != (len(parts) > 1) for in_class, _ in layouts):
        return "some images are in class folders and some are not"
    if len(parts) > 2 and parts[-3].lower() in SPLITS:
        return f'folders of splits; read one with an option such as {{"split": "{printable(parts[-3], 20)}"}}'
    return "some class folders are inside another folder; expected class_name/image.png, or one folder around all classes"


def _read_npz(path: Path, reader: ImageReader[Content], errors: ErrorCollector) -> Iterator[LabelledImage[Content]]:
    headers = npz.headers(path)
    _check_npz(headers, errors)
    errors.check()
    shape = headers["x"].shape
    size = max(1, min(1024, CHUNK_PIXELS // (shape[1] * shape[2])))
    labels = npz.label_names(path, size) if "y" in headers else None
    images = (pixels for block in npz.rows(path, "x", size) for pixels in block.reshape(*block.shape[:3], -1))
    for number, pixels in enumerate(images):
        label = next(labels) if labels else None
        try:
            yield LabelledImage(reader.of_pixels(pixels), label)
        except InvalidImageError as error:
            errors.add(pointer("x", number), f"image {number}: {error}")


def _read_parquet(
    path: Path, reader: ImageReader[Content], errors: ImageErrors, selection: Selection
) -> Iterator[LabelledImage[Content]]:
    for number, (content, label) in enumerate(image_parquet.rows(path)):
        try:
            yield LabelledImage(reader.of_file(content, selection.page), label)
        except InvalidImageError as error:
            errors.files.add(pointer("rows", number), f"row {number}: {error}")


def _is_image_shape(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))


def _check_npz(headers: dict[str, npz.Header], errors: ErrorCollector) -> None:
    if "x" not in headers:
        names = ", ".join(map(repr, headers)) or "none"
        detail = f"there is no array 'x'; the arrays are: {printable(names)}"
        raise InvalidDataset(detail, [FieldError("/x", detail)])
    for name in headers.keys() - {"x", "y"}:
        errors.add(pointer(name), f"unknown array {printable(name)!r}; expected x and, for labels, y")
    x = headers["x"]
    if x.dtype.kind not in "iuf" or x.dtype.itemsize > 8:
        errors.add("/x", f"x is of type {x.dtype}, expected uint8 or other integers or floats")
    if not _is_image_shape(x.shape):
        errors.add("/x", f"x has shape {x.shape}, expected (N, H, W), (N, H, W, 1) or (N, H, W, 3)")
    elif not 0 < x.shape[1] * x.shape[2] <= MAX_PIXELS:
        errors.add("/x", f"images of {x.shape[1]} x {x.shape[2]} pixels; between 1 and {MAX_PIXELS} pixels are accepted")
    npz.check_labels(headers, errors)
