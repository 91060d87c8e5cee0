"""Images of every depth, transparent images and files that are no single image: what is read, and the reasons for a rejection."""

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.errors import InvalidDataset
from app.formats.images import InvalidImageError, PixelBudget, decode, measure
from app.formats.pixel_values import RawPixels, ValueExtent, ValueRanges, to_bytes
from app.modalities import MODALITIES
from app.modalities.base import DatasetFile
from app.modalities.image import ImagePreprocessing
from app.networks.cnn import CnnParams
from tests.support import factories
from tests.support.dataset_reading import checked, dataset, joined

IMAGE = MODALITIES["image"]
EIGHT_BITS = np.random.default_rng(0).integers(0, 256, (6, 16, 16), dtype=np.uint8)
EIGHT_BITS[:, 0, :2] = 0, 255


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png16(values: NDArray[Any]) -> bytes:
    return saved(Image.fromarray(values.astype(np.uint16)), "PNG")


def tiff(values: NDArray[Any], dtype: type, photometric: int = 1) -> bytes:
    """Return an uncompressed TIFF of any type; Pillow itself writes few of them."""
    array: NDArray[Any] = np.ascontiguousarray(values.astype(dtype))
    bands = 1 if array.ndim == 2 else array.shape[2]
    body, start = array.tobytes(), 8 + 4 * bands
    tags = [(256, array.shape[1]), (257, array.shape[0]), (258, 0), (259, 1), (262, photometric), (273, start), (277, bands)]
    tags += [(278, array.shape[0]), (279, len(body))] + [(338, 2)] * (photometric == 2 and bands == 4) + [(339, 0)]
    lists = {258: array.itemsize * 8, 339: {"u": 1, "i": 2, "f": 3}[array.dtype.kind]}
    entries = b"".join(
        struct.pack("<HHII", number, 3, bands, lists[number] if bands == 1 else 8 + 2 * bands * (number == 339))
        if number in lists
        else struct.pack("<HHII", number, 4, 1, value)
        for number, value in tags
    )
    numbers = b"".join(struct.pack("<H", value) * bands for value in lists.values())
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", start + len(body)) + numbers + body + directory


def pgm16(values: NDArray[Any]) -> bytes:
    return f"P5 {values.shape[1]} {values.shape[0]} 65535 ".encode() + values.astype(">u2").tobytes()


def folder_zip(contents: Sequence[bytes], suffix: str) -> bytes:
    names = ("cat", "dog")
    return factories.zip_bytes({f"{names[n % 2]}/{n}{suffix}": content for n, content in enumerate(contents)})


def fitted(file: DatasetFile, folder: Path, side: int = 16) -> ImagePreprocessing:
    result = IMAGE.fit(IMAGE.chunks(file), (), CnnParams(input_size=side), None, folder)
    assert isinstance(result, ImagePreprocessing)
    return ImagePreprocessing.model_validate_json(result.model_dump_json())


def encoded(file: DatasetFile, folder: Path, side: int = 16) -> NDArray[Any]:
    encode = IMAGE.encoder(fitted(file, folder, side), folder)
    return joined([encode(chunk.inputs) for chunk in IMAGE.chunks(file)])["pixels"]


DEPTHS: dict[str, tuple[str, Callable[[NDArray[Any]], bytes]]] = {
    "8 bits": (".png", lambda pixels: saved(Image.fromarray(pixels), "PNG")),
    "12 bits in 16": (".png", lambda pixels: png16(pixels.astype(np.uint16) * 16)),
    "16 bits": (".png", lambda pixels: png16(pixels.astype(np.uint16) * 257)),
    "16 bits in PGM": (".pgm", lambda pixels: pgm16(pixels.astype(np.uint16) * 257)),
    "floats to 1": (".tif", lambda pixels: tiff(pixels / 255, np.float32)),
    "signed 16 bits": (".tif", lambda pixels: tiff(pixels.astype(np.int16) * 16 - 1000, np.int16)),
    "unsigned 32 bits": (".tif", lambda pixels: tiff(pixels.astype(np.uint32) * 0x01010101, np.uint32)),
    "signed 8 bits": (".tif", lambda pixels: tiff(pixels.astype(np.int16) - 128, np.int8)),
}


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_same_images_at_every_depth_become_the_same_arrays(tmp_path: Path, depth: str) -> None:
    suffix, write = DEPTHS[depth]
    file = dataset(tmp_path, "a.zip", folder_zip([write(pixels) for pixels in EIGHT_BITS], suffix), "image")
    np.testing.assert_array_equal(encoded(file, tmp_path), EIGHT_BITS[..., None])


def test_predictions_use_the_range_of_the_training_data(tmp_path: Path) -> None:
    deep = [png16(pixels.astype(np.uint16) + 1800) for pixels in EIGHT_BITS]
    file = dataset(tmp_path, "a.zip", folder_zip(deep, ".png"), "image")
    preprocessing = fitted(file, tmp_path)
    assert preprocessing.value_range == (1800, 2055)
    one = IMAGE.parse_bytes([png16(np.full((16, 16), 1900))], preprocessing)
    assert IMAGE.encoder(preprocessing, tmp_path)(one)["pixels"].max() == 100


def test_manifests_without_a_range_keep_the_high_byte() -> None:
    old = ImagePreprocessing.model_validate({"size": (1, 3), "channels": 1, "resize": (1, 3), "mean": (0.5,), "std": (0.5,)})
    encode = IMAGE.encoder(old, Path())
    assert encode([decode(png16(np.array([[0, 256, 65535]])))])["pixels"].ravel().tolist() == [0, 1, 255]
    assert encode([decode(tiff(np.array([[-5, 7, 300]]), np.int16))])["pixels"].ravel().tolist() == [0, 7, 255]


def test_range_covers_source_and_target(tmp_path: Path) -> None:
    files = [
        dataset(tmp_path, f"{low}.zip", folder_zip([png16(EIGHT_BITS[0].astype(np.uint16) + low)] * 4, ".png"), "image")
        for low in (1000, 2000)
    ]
    result = IMAGE.fit(IMAGE.chunks(files[0]), IMAGE.chunks(files[1]), CnnParams(input_size=16), None, tmp_path)
    assert isinstance(result, ImagePreprocessing)
    assert result.value_range == (1000, 2255)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("channels", [3, 4])
def test_low_bytes_of_colours_are_kept(format: str, channels: int) -> None:
    values = np.random.default_rng(1).integers(1000, 1200, (5, 4, 3)).astype(np.uint16)
    full = np.concatenate([values, np.full((5, 4, channels - 3), 65535, np.uint16)], axis=2)
    content = png_colour16(full) if format == "PNG" else tiff(full, np.uint16, 2)
    np.testing.assert_array_equal(decode(content), values)
    assert measure(content, PixelBudget(1000)).values == ValueExtent.of(values)


def png_colour16(values: NDArray[np.uint16]) -> bytes:
    """Write the chunks of a PNG of 16 bits per channel, which Pillow cannot write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_outliers_do_not_darken_all_images() -> None:
    values = np.random.default_rng(2).integers(100, 4000, (64, 64, 1)).astype(np.uint16)
    ranges = ValueRanges()
    ranges.add(ValueExtent.of(values))
    values[3, 3] = 65535
    ranges.add(ValueExtent.of(values))
    low, high = ranges.as_details()["values"]["range"]
    assert (low, high) == (pytest.approx(100, abs=20), pytest.approx(4000, abs=20))
    assert to_bytes(values, (low, high))[3, 3] == 255


def test_missing_values_of_floats_are_black_and_outside_the_range() -> None:
    values: RawPixels = np.array([[[0.5], [np.nan], [1.5], [np.inf], [-3.4e38]]], np.float32)
    extent = ValueExtent.of(values)
    assert extent is not None
    assert (extent.least, extent.most) == (0.5, 1.5)
    assert to_bytes(values, (0.5, 1.5)).ravel().tolist() == [0, 0, 255, 0, 0]
    with pytest.raises(InvalidImageError, match="no pixel has a value"):
        measure(tiff(np.full((2, 2), np.nan), np.float32), PixelBudget(10))


def test_array_of_floats_is_read_as_images_if_named(tmp_path: Path) -> None:
    content = factories.npz_bytes(x=(EIGHT_BITS / 255).astype(np.float32), y=np.arange(6) % 2)
    file = dataset(tmp_path, "a.npz", content, "image")
    assert file.details["values"] == {"type": "float32", "range": [0.0, 1.0]}
    np.testing.assert_array_equal(encoded(file, tmp_path), EIGHT_BITS[..., None])


@pytest.mark.parametrize(("ink", "ground", "drawn"), [(0, 255, 0), (255, 0, 255), (120, 255, 120)])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_ink_is_placed_over_a_colour_on_which_it_shows(ink: int, ground: int, drawn: int, mode: str) -> None:
    image = Image.new("LA", (8, 8), (ink, 0))
    image.paste((ink, 255), (2, 2, 6, 6))
    pixels = decode(saved(image.convert(mode), "PNG"))
    assert pixels.dtype == np.uint8
    assert (pixels[0, 0] == ground).all()
    assert (pixels[4, 4] == drawn).all()


def test_transparent_palette_colour_is_white() -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 1), 1)
    pixels = decode(saved(image, "PNG", transparency=0))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 1].tolist() == [200, 100, 50]


def test_opaque_images_with_alpha_are_unchanged() -> None:
    pixels = factories.make_image(seed=3)
    image = Image.fromarray(pixels)
    image.putalpha(255)
    np.testing.assert_array_equal(decode(saved(image, "PNG")), pixels)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (tiff(np.zeros((4, 4, 5)), np.uint8), "a TIFF with 5 bands; accepted are 1 band"),
        (tiff(np.zeros((4, 4, 3)), np.float32), "3 bands of floats of 32 bits"),
        (b"II*\0\x08\0\0\0", "a damaged TIFF"),
    ],
)
def test_unusable_file_is_named(content: bytes, reason: str) -> None:
    with pytest.raises(InvalidImageError, match=reason):
        decode(content)


def test_tiff_with_pages_is_rejected_unless_they_are_smaller_copies() -> None:
    page, copy = Image.new("L", (8, 8)), Image.new("L", (4, 4))
    with pytest.raises(InvalidImageError, match="more than one page"):
        decode(saved(page, "TIFF", save_all=True, append_images=[page]))
    copy.encoderinfo = {"tiffinfo": {254: 1}}
    assert decode(saved(page, "TIFF", save_all=True, append_images=[copy])).shape == (8, 8, 1)


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JPG", "", ".bin"])
def test_content_decides_whether_a_file_is_an_image(tmp_path: Path, suffix: str) -> None:
    file = dataset(tmp_path, "a.zip", folder_zip([factories.image_bytes(format="JPEG")] * 4, suffix), "image")
    assert file.details["channels"] == 3


def test_previews_of_deep_images_have_contrast(tmp_path: Path) -> None:
    file = dataset(
        tmp_path, "a.zip", folder_zip([png16(pixels.astype(np.uint16) + 1800) for pixels in EIGHT_BITS], ".png"), "image"
    )
    urls = {row["thumbnail"] for row in IMAGE.preview(file, range(6))}
    assert len(urls) == 6


CASES = ["pic-12bit-low-contrast", "pic-ink-in-alpha", "pic-tiff-float01", "pic-tiff-int16-ct", "pic-jfif"]


@pytest.mark.parametrize("case", CASES)
def test_known_cases_have_distinct_levels(tmp_path: Path, shared_cases: Path, case: str) -> None:
    file = checked(shared_cases / case / "source.zip", "image", "zip")
    pixels = encoded(file, tmp_path, 28)
    assert all(len(np.unique(image)) > 20 for image in pixels)
    assert pixels.min() < 10
    assert pixels.max() > 180


@pytest.mark.parametrize(
    ("case", "message"), [("pic-empty-file", "cat/9.png: empty"), ("pic-tiff-5-bands", "a TIFF with 5 bands; accepted are")]
)
def test_known_cases_name_the_trouble(shared_cases: Path, case: str, message: str) -> None:
    with pytest.raises(InvalidDataset, match=message):
        IMAGE.check(shared_cases / case / "source.zip", "zip", IMAGE.options())
