"""Pictures. Raw inputs are lists of uint8 arrays (H, W, 1 or 3)."""

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from app.errors import FieldError, InvalidInputs
from app.formats import image_folder
from app.formats.class_labels import ClassCounter
from app.formats.images import (
    ChannelStats,
    InvalidImage,
    Pixels,
    Resample,
    SizeRange,
    as_channels,
    crop,
    decode,
    from_lists,
    resize,
    thumbnail,
)
from app.formats.validation import LIMIT, ErrorCollector, pointer
from app.modalities.base import (
    Chunk,
    DatasetFile,
    DatasetOptions,
    Encoded,
    Encoder,
    FastEncoder,
    Modality,
    Preprocessing,
    Profile,
    TensorSpec,
)
from app.networks.base import NetworkParams
from app.preprocessing import fast_pixels, hf_image_processor

DOWNSCALE_WARNING_FACTOR = 2
"""Times the side of a network's input."""
DEFAULT_SIZE = 32
CHUNK_BYTES = 64 * 1024**2
PARSE_BYTES = 512 * 1024**2
"""Of the decoded pictures of one prediction: a small request can hold enormous pictures."""

Sides = tuple[int, int]


class ImageOptions(DatasetOptions):
    """Pictures need no options."""


class ImagePreprocessing(Preprocessing):
    """Resize, cut out the centre; in the network: (pixels / 255 - mean) / std."""

    modality: Literal["image"] = "image"
    size: Sides = Field(description="Height and width of what the network sees.")
    channels: Literal[1, 3]
    resize: int | Sides = Field(description="Height and width to resize to, or the shorter side; `size` is cut out of it.")
    resample: Resample = "bilinear"
    mean: tuple[float, ...] = Field(description="Of each channel, of values in 0..1.")
    std: tuple[float, ...]


class Image(Modality):
    """ImageFolder archives and npz arrays."""

    name = "image"
    suffixes: ClassVar[Mapping[str, str]] = {".zip": "zip", ".tar": "tar", ".tar.gz": "tar", ".tgz": "tar", ".npz": "npz"}
    options = ImageOptions
    preprocessing = ImagePreprocessing
    accepts_files = True
    raw_tensor = "image"

    def can_read(self, path: Path, format: str, options: DatasetOptions) -> bool:
        """Claim archives of image files, and arrays of uint8 images."""
        return format != "npz" or image_folder.has_image_array(path)

    def check(self, path: Path, format: str, options: DatasetOptions) -> Profile:
        labels = ClassCounter("/y") if format == "npz" else ClassCounter("/files", "; pictures without labels are in no folder")
        places = ErrorCollector()
        count, channels, sides = 0, set[int](), SizeRange()
        for picture in image_folder.read(path, format, places):
            count += 1
            channels.add(picture.pixels.shape[2])
            sides.add(picture.pixels)
            labels.add([picture.label] if picture.label is not None else ())
        classes = labels.classes(places) if labels.counts else None
        if not count and not places.count:
            places.add("/file", "there are no pictures")
        places.check()
        return Profile(format, count, classes, {"channels": max(channels), **sides.as_details()})

    def preview(self, file: DatasetFile, limit: int) -> list[dict[str, Any]]:
        chunk = next(self.chunks(file, limit), None)
        if chunk is None:
            return []
        shown = [{"thumbnail": thumbnail(pixels), "height": pixels.shape[0], "width": pixels.shape[1]} for pixels in chunk.inputs]
        return [row | {"label": label} for row, label in zip(shown, chunk.labels, strict=True)] if chunk.labels else shown

    def chunks(self, file: DatasetFile, size: int = 1024) -> Iterator[Chunk]:
        held: list[image_folder.LabelledImage] = []
        held_bytes = 0
        for picture in image_folder.read(file.path, file.format, ErrorCollector()):
            held.append(picture)
            held_bytes += picture.pixels.nbytes
            if len(held) >= size or held_bytes > CHUNK_BYTES:
                yield _chunk(held)
                held, held_bytes = [], 0
        if held:
            yield _chunk(held)

    def incompatibilities(self, source: Profile, other: Profile) -> list[str]:
        """None: sizes are brought to the network's, grey pictures are promoted."""
        return []

    def information_loss(self, network: NetworkParams, data: Profile) -> list[str]:
        """Pictures that are much larger than a network's own input size; an encoder's is what it was trained with."""
        side = network.input_limits().image_side
        height, width = data.details["height"][0], data.details["width"][0]
        if side is None or min(height, width) < DOWNSCALE_WARNING_FACTOR * side:
            return []
        return [
            f"Pictures of {height} x {width} pixels and more are brought to {side} x {side}. A larger `input_size` in `base` "
            "keeps more of them; a `pretrained` encoder has seen other pictures as well, which helps where these are few."
        ]

    def fit(
        self, source: Iterable[Chunk], target: Iterable[Chunk], network: NetworkParams, pretrained: Path | None, folder: Path
    ) -> ImagePreprocessing:
        """A pretrained encoder's own preprocessing, or the network's input size and the pixels' mean and deviation."""
        if pretrained is not None:
            config = hf_image_processor.read(pretrained)
            return ImagePreprocessing(
                size=config.size,
                channels=3,
                resize=config.resize,
                resample=config.resample,
                mean=config.mean,
                std=config.std,
            )
        side = network.input_limits().image_side or DEFAULT_SIZE
        colours = ChannelStats()
        for chunks in (source, target):
            for chunk in chunks:
                for pixels in chunk.inputs:
                    colours.add(resize(pixels, side, side))
        mean, std = colours.moments()
        return ImagePreprocessing(size=(side, side), channels=colours.channels, resize=(side, side), mean=mean, std=std)

    def encoder(self, preprocessing: Preprocessing, folder: Path) -> Encoder:
        """`pixels` uint8 (n, height, width, channels)."""
        fitted = _preprocessing(preprocessing)

        def encode(raw: Sequence[Pixels]) -> Encoded:
            encoded = np.empty((len(raw), *fitted.size, fitted.channels), np.uint8)
            for row, pixels in enumerate(raw):
                encoded[row] = _resize_and_crop(as_channels(pixels, fitted.channels), fitted)
            return {"pixels": encoded}

        return encode

    def specs(self, preprocessing: Preprocessing) -> dict[str, TensorSpec]:
        fitted = _preprocessing(preprocessing)
        return {"pixels": TensorSpec("uint8", (*fitted.size, fitted.channels), augmentable=True)}

    def fast_encoder(self, preprocessing: Preprocessing, encode: Encoder) -> FastEncoder:
        """Lists of pixels that need no resizing."""
        fitted = _preprocessing(preprocessing)
        shape = (*fitted.size, fitted.channels)

        def encode_pixels(text: bytes, max_inputs: int) -> Encoded | None:
            pixels = fast_pixels.parse(text, shape, max_inputs)
            return None if pixels is None else {"pixels": pixels}

        return encode_pixels if fitted.resize == fitted.size else super().fast_encoder(preprocessing, encode)

    def parse(self, values: Sequence[Any], preprocessing: Preprocessing) -> list[Pixels]:
        """Base64 of picture files, also as data URLs, or nested lists (H, W) or (H, W, C) of 0..255."""
        return _parse_all(values, "inputs", _parse_one)

    def parse_bytes(self, elements: Sequence[bytes], preprocessing: Preprocessing) -> list[Pixels]:
        return _parse_all(elements, "files", decode)


def _preprocessing(preprocessing: Preprocessing) -> ImagePreprocessing:
    assert isinstance(preprocessing, ImagePreprocessing)
    return preprocessing


def _chunk(pictures: Sequence[image_folder.LabelledImage]) -> Chunk:
    labels = [picture.label for picture in pictures if picture.label is not None]
    return Chunk([picture.pixels for picture in pictures], labels or None, len(pictures))


def _resize_and_crop(pixels: Pixels, fitted: ImagePreprocessing) -> Pixels:
    height, width = fitted.resize if isinstance(fitted.resize, tuple) else _scaled(pixels, fitted.resize)
    return crop(resize(pixels, height, width, fitted.resample), *fitted.size)


def _scaled(pixels: Pixels, shorter: int) -> Sides:
    """Height and width with this shorter side and the picture's proportions."""
    height, width = pixels.shape[:2]
    longer = int(shorter * max(height, width) / min(height, width))
    return (longer, shorter) if height > width else (shorter, longer)


def _parse_all(values: Sequence[Any], part: str, parse: Callable[[Any], Pixels]) -> list[Pixels]:
    pictures, errors, held = list[Pixels](), list[FieldError](), 0
    for index, value in enumerate(values):
        try:
            pictures.append(parse(value))
        except InvalidImage as error:
            errors.append(FieldError(pointer(part, index), str(error)))
            continue
        held += pictures[-1].nbytes
        if held > PARSE_BYTES:
            errors.append(FieldError(pointer(part, index), f"up to here {held} bytes of pixels: send fewer pictures at once"))
            break
    if errors:
        raise InvalidInputs(f"{errors[0].pointer}: {errors[0].detail}", errors[:LIMIT])
    return pictures


def _parse_one(value: Any) -> Pixels:
    if isinstance(value, str):
        try:
            return decode(base64.b64decode(value.partition(",")[2] if value.startswith("data:") else value, validate=True))
        except binascii.Error as error:
            raise InvalidImage("not base64 of a picture file") from error
    if isinstance(value, list):
        return from_lists(value)
    raise InvalidImage("expected base64 of a picture file or nested lists of pixels")
