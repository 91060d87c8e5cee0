"""Images. Raw inputs are lists of arrays (H, W, 1 or 3): uint8, or the values of images with more than 8 bits."""

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import orjson
from pydantic import Field

from app.errors import FieldError, InvalidDataset, InvalidInputs
from app.formats import archives, image_folder, image_parquet
from app.formats.class_labels import ClassCounter
from app.formats.image_folder import ImageErrors, LabelledImage, Selection
from app.formats.image_statistics import ChannelStats, SizeRange
from app.formats.images import (
    DRAFT_SIDE,
    THUMBNAIL_SIDE,
    ImageShape,
    InvalidImageError,
    PixelBudget,
    PixelBudgetExceededError,
    Resample,
    Thumbnail,
    as_channels,
    crop,
    decode,
    from_lists,
    resize,
)
from app.formats.pixel_values import Pixels, Range, RawPixels, ValueRanges, to_bytes
from app.formats.validation import LIMIT, ErrorCollector, pointer
from app.modalities.base import (
    CHUNK_ROWS,
    Chunk,
    DatasetFile,
    DatasetOptions,
    Encoded,
    EncodedInputs,
    Encoder,
    FastEncoder,
    Modality,
    Preprocessing,
    Profile,
    TensorSpec,
)
from app.networks.base import NetworkParams
from app.preprocessing import fast_pixels, hf_image_processor, small_images

DOWNSCALE_WARNING_FACTOR = 2
"""Images at least this many times larger than the network's input cause a warning."""
DEFAULT_SIZE = 32
MAX_EXAMPLE_SIDE = 2048
"""Longest side of an image that is shown in full."""
ONE_FOLDER = (
    "All images are in one folder, so the dataset is unlabelled. For a labelled dataset, upload one folder for each of at least "
    "two classes."
)
CHUNK_BYTES = 64 * 1024**2
MAX_PREDICTION_PIXELS = 100_000_000
"""Limit of the images of one prediction: a small compressed file can contain a very large image."""
FREE_PIXELS = 100_000_000
PIXELS_PER_BYTE = 2000
MAX_DATASET_PIXELS = 2_000_000_000
"""An upload may decode `FREE_PIXELS` and `PIXELS_PER_BYTE`, at most this number."""

DRAFT_FACTOR = 4
"""JPEGs of requests keep at least this multiple of the size that they are resized to; then the result hardly differs."""

Sides = tuple[int, int]
Decode = Callable[[bytes, PixelBudget], RawPixels]
_URL_SAFE_BASE64 = str.maketrans("-_", "+/")


class ImageOptions(DatasetOptions):
    """Options for reading images."""

    skip_bad: bool = Field(False, description="Leave out files that cannot be read, and list them in the warnings.")
    page: int | None = Field(None, ge=0, le=100_000, description="Page of TIFFs and other files with several, from 0.")
    split: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Read only the images below the folder of this name, such as `train`, of an archive with one for each split.",
    )


class ImagePreprocessing(Preprocessing):
    """Resize, then crop the centre; the network computes (pixels / 255 - mean) / std."""

    modality: Literal["image"] = "image"
    size: Sides = Field(description="Height and width of the network input.")
    channels: Literal[1, 3]
    resize: int | Sides = Field(
        description="Height and width to resize to, or the shorter side; then `size` is cropped from the centre."
    )
    resample: Resample = "bilinear"
    mean: tuple[float, ...] = Field(description="Mean of each channel, of values in 0..1.")
    std: tuple[float, ...] = Field(description="Standard deviation of each channel, of values in 0..1.")
    value_range: Range | None = Field(
        None, description="Values that become 0 and 255 in images with more than 8 bits. None: the high byte of 16 bits is used."
    )


class Image(Modality):
    """ImageFolder archives, npz arrays, and Parquet of the Hugging Face library `datasets`."""

    name = "image"
    suffixes: ClassVar[Mapping[str, str]] = {
        ".zip": "zip",
        ".tar": "tar",
        ".tar.gz": "tar",
        ".tgz": "tar",
        ".npz": "npz",
        ".parquet": "parquet",
    }
    options = ImageOptions
    preprocessing = ImagePreprocessing
    accepts_files = True
    raw_tensor = "image"

    def can_read(self, path: Path, format: str, options: DatasetOptions) -> bool:
        """Claim archives of image files, arrays of images, and Parquet with a column of images."""
        if format == "parquet":
            return image_parquet.has_images(path)
        return image_folder.has_image_array(path) if format == "npz" else not archives.holds_recordings(path, format)

    def check(self, path: Path, format: str, options: DatasetOptions) -> Profile:
        labels = ClassCounter("/y") if format == "npz" else ClassCounter("/files")
        errors = ErrorCollector()
        skipped = ErrorCollector() if _options(options).skip_bad else errors
        count, channels, sides, values = 0, set[int](), SizeRange(), ValueRanges()
        for image in _shapes(path, format, ImageErrors(errors, skipped), options):
            count += 1
            channels.add(image.content.channels)
            sides.add(image.content)
            values.add(image.content.values)
            if image.label == "":
                labels.missing.add(labels.where, f"image {count} has no label")
            elif image.label is not None:
                labels.add([image.label])
        classes = labels.classes(errors)
        if format not in ("npz", "parquet") and len(labels.counts) == 1:
            errors.warn("one_folder", ONE_FOLDER, "/files", list(labels.counts))
            classes = None
        if skipped is not errors and skipped.count:
            _warn_skipped(skipped, errors)
        if not count and not errors.count:
            errors.add("/file", "there are no images")
        errors.check()
        details = {"channels": max(channels), **sides.as_details(), **values.as_details()}
        return Profile(format, count, classes, details | ({"warnings": errors.warnings} if errors.warnings else {}))

    def preview(self, file: DatasetFile, rows: Sequence[int]) -> list[dict[str, Any]]:
        return [_preview_row(image, file.labelled) for image in _thumbnails(file, rows)]

    def example(self, file: DatasetFile, row: int) -> list[dict[str, Any]]:
        return [_preview_row(image, file.labelled, "image") for image in _thumbnails(file, [row], MAX_EXAMPLE_SIDE)]

    def chunks(self, file: DatasetFile, size: int = CHUNK_ROWS) -> Iterator[Chunk]:
        buffered: list[LabelledImage[RawPixels]] = []
        buffered_bytes = 0
        images = image_folder.read(file.path, file.format, image_folder.PIXELS, ImageErrors(), _selection(file.options))
        for image in images:
            buffered.append(image)
            buffered_bytes += image.content.nbytes
            if len(buffered) >= size or buffered_bytes > CHUNK_BYTES:
                yield _chunk(buffered, file)
                buffered, buffered_bytes = [], 0
        if buffered:
            yield _chunk(buffered, file)

    def incompatibilities(self, source: Profile, other: Profile) -> list[str]:
        """Return nothing: images are resized, and grey images are converted to RGB."""
        return []

    def joined_details(self, first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
        sides = {
            name: [min(first[name][0], second[name][0]), max(first[name][1], second[name][1])] for name in ("height", "width")
        }
        details = {**first, **sides, "channels": max(first["channels"], second["channels"])}
        value_range = _union([_range_of(first), _range_of(second)])
        values = first.get("values") or second.get("values") or {}
        return details | ({"values": {**values, "range": list(value_range)}} if value_range else {})

    def information_loss(self, network: NetworkParams, data: Profile) -> list[str]:
        """Warn of images much larger than the input of a network whose size is a parameter."""
        side = network.input_limits().image_side
        height, width = data.details["height"][0], data.details["width"][0]
        if side is None or min(height, width) < DOWNSCALE_WARNING_FACTOR * side:
            return []
        return [
            f"Images of at least {height} x {width} pixels are resized to {side} x {side}. Set a larger `input_size` in `base` "
            "to keep more detail, or use a `pretrained` encoder, which also helps with few images."
        ]

    def fit(
        self, source: Iterable[Chunk], target: Iterable[Chunk], network: NetworkParams, pretrained: Path | None, folder: Path
    ) -> ImagePreprocessing:
        """Read the preprocessing of a pretrained encoder, or compute mean and standard deviation at the network's input size.

        The range of deep images covers both datasets.
        """
        firsts = [(next(chunks, None), chunks) for chunks in map(iter, (source, target))]
        value_range = _union([_range_of(first.details) for first, _ in firsts if first is not None])
        if pretrained is not None:
            config = hf_image_processor.read(pretrained)
            return ImagePreprocessing(
                size=config.size,
                channels=3,
                resize=config.resize,
                resample=config.resample,
                mean=config.mean,
                std=config.std,
                value_range=value_range,
            )
        side = network.input_limits().image_side or DEFAULT_SIZE
        channel_stats = ChannelStats()
        for first, rest in firsts:
            for chunk in chain([first] if first else [], rest):
                for pixels in chunk.inputs:
                    channel_stats.add(resize(to_bytes(pixels, value_range), side, side))
        mean, std = channel_stats.moments()
        sides, channels = (side, side), channel_stats.channels
        return ImagePreprocessing(size=sides, channels=channels, resize=sides, mean=mean, std=std, value_range=value_range)

    def encoder(self, preprocessing: Preprocessing, folder: Path) -> Encoder:
        """Return an encoder to `pixels` uint8 (n, height, width, channels)."""
        fitted = _preprocessing(preprocessing)

        def encode(raw: Sequence[RawPixels]) -> Encoded:
            encoded = np.empty((len(raw), *fitted.size, fitted.channels), np.uint8)
            for row, values in enumerate(raw):
                pixels = as_channels(to_bytes(values, fitted.value_range), fitted.channels)
                encoded[row] = _resize_and_crop(pixels, fitted)
            return {"pixels": encoded}

        return encode

    def specs(self, preprocessing: Preprocessing) -> dict[str, TensorSpec]:
        fitted = _preprocessing(preprocessing)
        return {"pixels": TensorSpec("uint8", (*fitted.size, fitted.channels), augmentable="image")}

    def fast_encoder(self, preprocessing: Preprocessing, encode: Encoder) -> FastEncoder:
        """Return an encoder of base64 of small files, and of nested lists of pixels if no resizing is needed."""
        fitted = _preprocessing(preprocessing)
        shape = (*fitted.size, fitted.channels)

        def encode_files(text: bytes, max_inputs: int) -> EncodedInputs | None:
            raw = _small_files(text, max_inputs, _decoder(fitted))
            return None if raw is None else EncodedInputs(encode(raw))

        def encode_pixels(text: bytes, max_inputs: int) -> EncodedInputs | None:
            if not text.startswith(b"[["):
                return encode_files(text, max_inputs)
            pixels = fast_pixels.parse(text, shape, max_inputs)
            return None if pixels is None else EncodedInputs({"pixels": pixels})

        return encode_pixels if fitted.resize == fitted.size else encode_files

    def parse(self, values: Sequence[Any], preprocessing: Preprocessing) -> list[RawPixels]:
        """Parse base64 of image files, also as data URLs, or nested lists (H, W) or (H, W, C) of 0..255."""
        return _parse_all(values, "inputs", partial(_parse_one, _decoder(_preprocessing(preprocessing))))

    def parse_bytes(self, elements: Sequence[bytes], preprocessing: Preprocessing) -> list[RawPixels]:
        return _parse_all(elements, "files", _decoder(_preprocessing(preprocessing)))

    def can_decode_at_once(self, files: Sequence[bytes]) -> bool:
        return small_images.are_small(files)


def _preprocessing(preprocessing: Preprocessing) -> ImagePreprocessing:
    assert isinstance(preprocessing, ImagePreprocessing)
    return preprocessing


def _shapes(path: Path, format: str, errors: ImageErrors, options: DatasetOptions) -> Iterator[LabelledImage[ImageShape]]:
    """Yield the shapes of all images. Raise InvalidDataset if they have too many pixels in total."""
    budget = PixelBudget(min(FREE_PIXELS + PIXELS_PER_BYTE * path.stat().st_size, MAX_DATASET_PIXELS))
    try:
        yield from image_folder.read(path, format, image_folder.shapes(budget), errors, _selection(options))
    except PixelBudgetExceededError as error:
        raise InvalidDataset(f"{error}: upload fewer or smaller images", [FieldError("/file", str(error))]) from error


def _range_of(details: Mapping[str, Any]) -> Range | None:
    """Return the range of the values of a dataset whose images have more than 8 bits."""
    if "values" not in details:
        return None
    low, high = details["values"]["range"]
    return low, high


def _union(ranges: Sequence[Range | None]) -> Range | None:
    known = [limits for limits in ranges if limits is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None


def _thumbnails(file: DatasetFile, rows: Sequence[int], side: int = THUMBNAIL_SIDE) -> Iterator[LabelledImage[Thumbnail]]:
    """Yield the thumbnails at these positions, and read no further than the last one."""
    reader = image_folder.only(image_folder.thumbnails(_range_of(file.details), side), frozenset(rows))
    images = image_folder.read(file.path, file.format, reader, ImageErrors(), _selection(file.options))
    for image in islice(images, max(rows, default=-1) + 1):
        if image.content is not None:
            yield LabelledImage(image.content, image.label)


def _preview_row(image: LabelledImage[Thumbnail], labelled: bool, key: str = "thumbnail") -> dict[str, Any]:
    row = {key: image.content.url, "height": image.content.height, "width": image.content.width}
    return row if image.label is None or not labelled else row | {"label": image.label}


def _options(options: DatasetOptions) -> ImageOptions:
    assert isinstance(options, ImageOptions)
    return options


def _selection(options: DatasetOptions) -> Selection:
    given = _options(options)
    return Selection(given.split, given.page)


def _warn_skipped(skipped: ErrorCollector, errors: ErrorCollector) -> None:
    count = f"{skipped.count} files" if skipped.count > 1 else "1 file"
    message = f"{count} cannot be read and are left out. The examples are the first {LIMIT} of them."
    errors.warn("skipped_files", message, "/files", [error.detail for error in skipped.errors])


def _chunk(images: Sequence[LabelledImage[RawPixels]], file: DatasetFile) -> Chunk:
    labels = [image.label for image in images if image.label is not None] if file.labelled else []
    return Chunk([image.content for image in images], labels or None, len(images), file.details)


def _resize_and_crop(pixels: Pixels, fitted: ImagePreprocessing) -> Pixels:
    height, width = fitted.resize if isinstance(fitted.resize, tuple) else _scaled(pixels, fitted.resize)
    return crop(resize(pixels, height, width, fitted.resample), *fitted.size)


def _scaled(pixels: Pixels, shorter: int) -> Sides:
    """Return height and width with this shorter side and the aspect ratio of the image."""
    height, width = pixels.shape[:2]
    longer = int(shorter * max(height, width) / min(height, width))
    return (longer, shorter) if height > width else (shorter, longer)


def _parse_all(values: Sequence[Any], field: str, parse: Callable[[Any, PixelBudget], RawPixels]) -> list[RawPixels]:
    images, errors, budget = list[RawPixels](), list[FieldError](), PixelBudget(MAX_PREDICTION_PIXELS)
    for index, value in enumerate(values):
        try:
            images.append(parse(value, budget))
        except InvalidImageError as error:
            errors.append(FieldError(pointer(field, index), str(error)))
        except PixelBudgetExceededError as error:
            errors.append(FieldError(pointer(field, index), f"{error}: send fewer images per request"))
            break
    if errors:
        raise InvalidInputs(f"{errors[0].pointer}: {errors[0].detail}", errors[:LIMIT])
    return images


def _decoder(fitted: ImagePreprocessing) -> Decode:
    """Return a decoder for requests. JPEGs are decoded at a fraction of their size that is still large for the network."""
    longest = max(fitted.size if isinstance(fitted.resize, int) else fitted.resize)
    side = max(longest, fitted.resize) if isinstance(fitted.resize, int) else longest
    return partial(decode, side=min(DRAFT_SIDE, DRAFT_FACTOR * side))


def _parse_one(decode_file: Decode, value: Any, budget: PixelBudget) -> RawPixels:
    text = _base64_in(value)
    if text is not None:
        return decode_file(_from_base64(text), budget)
    if isinstance(value, list):
        return from_lists(value)
    raise InvalidImageError("expected base64 of an image file or nested lists of pixels")


def _base64_in(value: Any) -> str | None:
    """Return the base64 of an input, None if it is of another kind."""
    if isinstance(value, dict) and value.keys() == {"b64"}:  # the protocol KServe v1 marks binary data in this way
        value = value["b64"]
    if not isinstance(value, str):
        return None
    return value.partition(",")[2] if value.startswith("data:") else value


def _small_files(text: bytes, max_images: int, decode_file: Decode) -> list[RawPixels] | None:
    """Decode a JSON array of base64 of small image files; return None for anything else."""
    if len(text) > 2 * small_images.MAX_BYTES:
        return None
    try:
        encoded = [_base64_in(value) for value in orjson.loads(text)]
        files = [_from_base64(value) for value in encoded if value is not None]
        if not 0 < len(files) == len(encoded) <= max_images or not small_images.are_small(files):
            return None
        return [decode_file(content, PixelBudget(small_images.MAX_PIXELS)) for content in files]
    except (ValueError, TypeError):  # also InvalidImageError: the routes report it
        return None


def _from_base64(text: str) -> bytes:
    """Decode base64 of both alphabets, with or without line breaks and padding."""
    compact = "".join(text.split()).translate(_URL_SAFE_BASE64).rstrip("=")
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except ValueError as error:
        raise InvalidImageError("not base64 of an image file") from error
