"""Limits of what is decoded: pixels of an image, of an upload and of a prediction; rare encodings; keys of JSON objects."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.errors import InvalidDataset, InvalidInputs
from app.formats import images, jsonl
from app.formats.images import ImageShape, InvalidImageError, PixelBudget, decode, measure, thumbnail_of_file
from app.formats.validation import ErrorCollector
from app.modalities import MODALITIES, image
from app.modalities.image import ImagePreprocessing
from tests.support import bombs
from tests.support.factories import write

IMAGE = MODALITIES["image"]
FITTED = ImagePreprocessing(size=(8, 8), channels=3, resize=(8, 8), mean=(0.5,) * 3, std=(0.5,) * 3)


def encoded(mode: str, orientation: int = 1, file_format: str = "PNG") -> bytes:
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(buffer, file_format, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_measured_shape_is_that_of_the_decoded_image(mode: str, orientation: int) -> None:
    content = encoded(mode, orientation)
    pixels, small = decode(content), thumbnail_of_file(content)
    assert measure(content, PixelBudget(10**6)) == ImageShape.of(pixels)
    assert (small.height, small.width) == pixels.shape[:2]


@pytest.mark.parametrize("content", [b"P1 2 2 1010", b"P2 1 1 255 7", b"P3 1 1 255 1 2 3"])
def test_pnm_in_plain_text_is_rejected(content: bytes) -> None:
    with pytest.raises(InvalidImageError, match="plain text"):
        decode(content)


def test_large_image_of_a_slow_decoder_is_rejected() -> None:
    assert decode(b"P5 20 10 100 " + bytes(200)).shape == (10, 20, 1)
    with pytest.raises(InvalidImageError, match="rare encoding"):
        decode(b"P5 2000 1000 100 " + bytes(2_000_000))


def test_image_beyond_the_limit_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 599)
    with pytest.raises(InvalidImageError, match="at most 599 pixels"):
        decode(encoded("RGB"))


def test_upload_with_too_many_pixels_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "FREE_PIXELS", 5000)
    monkeypatch.setattr(image, "PIXELS_PER_BYTE", 0)
    path = write(tmp_path, "a.zip", bombs.images(3, 50))
    with pytest.raises(InvalidDataset, match="more than 5000 pixels in total"):
        IMAGE.check(path, "zip", IMAGE.options())
    assert IMAGE.check(write(tmp_path, "b.zip", bombs.images(2, 50)), "zip", IMAGE.options()).rows == 2


def test_prediction_with_too_many_pixels_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "MAX_PREDICTION_PIXELS", 1000)
    assert len(IMAGE.parse_bytes([encoded("RGB")], FITTED)) == 1
    with pytest.raises(InvalidInputs, match="send fewer images per request") as caught:
        IMAGE.parse_bytes([encoded("RGB")] * 3, FITTED)
    assert [error.pointer for error in caught.value.errors] == ["/files/1"]


def test_json_object_with_too_many_keys_is_an_error(tmp_path: Path) -> None:
    path, errors = write(tmp_path, "a.jsonl", bombs.wide_objects(26_000, 1) + b'{"text": "a"}\n'), ErrorCollector()
    records = [record for _, block in jsonl.blocks(path, 10, errors) for record in block]
    assert records == [{"text": "a"}]
    assert errors.errors[0].detail == "row 1 has an object with 26000 keys; at most 25000 are accepted"
