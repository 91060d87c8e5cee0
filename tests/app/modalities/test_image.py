"""Images from upload to arrays."""

import base64
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.errors import InvalidInputs, InvalidRequest
from app.formats.images import decode
from app.formats.pixel_values import Pixels, to_bytes
from app.modalities import MODALITIES, image
from app.modalities.base import Chunk, Profile
from app.modalities.image import ImagePreprocessing
from app.networks.base import NetworkParams
from app.networks.cnn import CnnParams
from app.networks.transformers import TransformersParams
from tests.support import factories
from tests.support.dataset_reading import checked, dataset, joined, labels

IMAGE = MODALITIES["image"]
SMALL = CnnParams(input_size=8)


def chunk(*images: Pixels) -> Chunk:
    return Chunk(list(images), None, len(images))


def fit(folder: Path, source: list[Chunk], target: list[Chunk], side: int = 8) -> ImagePreprocessing:
    fitted = IMAGE.fit(source, target, CnnParams(input_size=side), None, folder)
    assert isinstance(fitted, ImagePreprocessing)
    return ImagePreprocessing.model_validate_json(fitted.model_dump_json())


def pretrained(folder: Path, **config: Any) -> ImagePreprocessing:
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    fitted = IMAGE.fit([], [], TransformersParams(pretrained="x"), folder, folder)
    assert isinstance(fitted, ImagePreprocessing)
    return fitted


def tar_gz(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def test_zip_tar_and_npz_of_the_same_images_are_equal(tmp_path: Path) -> None:
    images = [factories.make_image(seed=seed) for seed in range(4)]
    names = ["cat", "cat", "dog", "dog"]
    files = {
        f"{name}/{number}.png": factories.image_bytes(pixels)
        for number, (name, pixels) in enumerate(zip(names, images, strict=True))
    }
    npz = factories.npz_bytes(x=np.stack(images), y=np.array(names))
    for filename, content in (("a.zip", factories.zip_bytes(files)), ("a.tar.gz", tar_gz(files)), ("a.npz", npz)):
        file = dataset(tmp_path, filename, content, "image")
        chunks = list(IMAGE.chunks(file, 3))
        assert [part.rows for part in chunks] == [3, 1]
        assert labels(chunks) == names
        np.testing.assert_array_equal([pixels for part in chunks for pixels in part.inputs], images)
        assert file.details == {"channels": 3, "height": [8, 8], "width": [8, 8]}


@pytest.mark.parametrize("npz_labels", [np.arange(3), np.array(["0", "1", "2"]), np.array([b"0", b"1", b"2"])])
def test_npz_labels_may_be_numbers_or_strings(tmp_path: Path, npz_labels: "np.ndarray[Any, Any]") -> None:
    file = dataset(tmp_path, "a.npz", factories.npz_bytes(x=np.zeros((3, 4, 4), np.uint8), y=npz_labels), "image")
    assert labels(list(IMAGE.chunks(file))) == ["0", "1", "2"]


def test_flat_archives_are_unlabelled(tmp_path: Path) -> None:
    file = dataset(tmp_path, "a.zip", factories.image_zip(classes=[]), "image")
    assert not file.labelled
    assert next(IMAGE.chunks(file)).labels is None


def test_folders_with_backslashes_are_classes(tmp_path: Path) -> None:
    image = factories.image_bytes()
    content = factories.zip_bytes({"cat\\": b"", "cat\\0.png": image, "dog\\0.png": image})
    file = dataset(tmp_path, "a.zip", content, "image")
    assert labels(list(IMAGE.chunks(file))) == ["cat", "dog"]


@pytest.mark.parametrize("ending", ["zip", "tar.gz"])
def test_folder_around_all_classes_is_not_a_class(tmp_path: Path, ending: str) -> None:
    png = factories.image_bytes()
    names = ["photos/cat/0.png", "__MACOSX/photos/cat/._0.png", "photos/.DS_Store", "photos/dog/1.png"]
    files = dict.fromkeys(names, png)
    content = factories.zip_bytes({"photos/": b"", **files}) if ending == "zip" else tar_gz(files)
    file = dataset(tmp_path, f"a.{ending}", content, "image")
    assert labels(list(IMAGE.chunks(file))) == ["cat", "dog"]


def test_large_images_are_read_in_small_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "CHUNK_BYTES", 400)
    file = dataset(tmp_path, "a.zip", factories.image_zip(each=3), "image")
    assert [part.rows for part in IMAGE.chunks(file)] == [3, 3]


@pytest.mark.parametrize(
    ("mode", "channels"),
    [("1", 1), ("L", 1), ("LA", 1), ("I;16", 1), ("RGB", 3), ("RGBA", 3), ("P", 3), ("CMYK", 3)],
)
def test_every_image_mode_is_decoded_to_grey_or_rgb(mode: str, channels: int) -> None:
    pil_image = Image.new(mode, (5, 3), 1 if mode == "1" else 65535 if mode == "I;16" else None or 0)
    buffer = io.BytesIO()
    pil_image.save(buffer, "TIFF" if mode == "CMYK" else "PNG")
    assert decode(buffer.getvalue()).shape == (3, 5, channels)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.array([[0, 256, 32768, 65535]], np.uint16)).save(buffer, "PNG")
    assert to_bytes(decode(buffer.getvalue()), None)[0, :, 0].tolist() == [0, 1, 128, 255]


def test_images_are_rotated_by_exif() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10)).save(buffer, "JPEG", exif=exif)
    assert decode(buffer.getvalue()).shape == (20, 10, 3)


def test_large_jpegs_are_decoded_smaller() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4400, 3000), (10, 200, 30)).save(buffer, "JPEG")
    pixels = decode(buffer.getvalue())
    assert pixels.shape == (1500, 2200, 3)
    np.testing.assert_allclose(pixels.mean(axis=(0, 1)), [10, 200, 30], atol=2)


def test_mean_and_std_cover_both_domains_at_network_size(tmp_path: Path) -> None:
    source, target = factories.make_image(seed=1), factories.make_image(seed=2)
    fitted = fit(tmp_path, [chunk(source)], [chunk(target)])
    pixels = np.stack([source, target]) / 255
    np.testing.assert_allclose(fitted.mean, pixels.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(fitted.std, pixels.std(axis=(0, 1, 2)))
    assert (fitted.size, fitted.channels) == ((8, 8), 3)


def test_images_much_larger_than_the_network_input_cause_a_warning() -> None:
    def warnings(network: NetworkParams, side: int) -> list[str]:
        return IMAGE.information_loss(network, Profile("npz", 9, None, {"height": [side, 900], "width": [side + 1, 900]}))

    assert warnings(CnnParams(input_size=28), 55) == []
    (warning,) = warnings(CnnParams(input_size=28), 56)
    assert "Images of at least 56 x 57 pixels are resized to 28 x 28" in warning
    assert warnings(TransformersParams(pretrained="a/b"), 5000) == []


@pytest.mark.parametrize("swapped", [False, True])
def test_grey_becomes_rgb_if_the_other_domain_is_rgb(tmp_path: Path, swapped: bool) -> None:
    grey, colour = factories.make_image(channels=1), factories.make_image(channels=3)
    sides = [[chunk(grey)], [chunk(colour)]]
    fitted = fit(tmp_path, sides[swapped], sides[not swapped])
    encoded = IMAGE.encoder(fitted, tmp_path)([grey, colour])["pixels"]
    assert encoded.shape == (2, 8, 8, 3)
    assert encoded.dtype == np.uint8
    np.testing.assert_array_equal(encoded[0], np.repeat(grey, 3, axis=2))
    np.testing.assert_array_equal(encoded[1], colour)


def test_colour_becomes_grey_if_both_domains_are_grey(tmp_path: Path) -> None:
    fitted = fit(tmp_path, [chunk(factories.make_image(channels=1))], [chunk(factories.make_image(channels=1))])
    encoded = IMAGE.encoder(fitted, tmp_path)([factories.make_image(channels=3)])["pixels"]
    assert (fitted.channels, encoded.shape) == (1, (1, 8, 8, 1))


def test_std_of_black_images_is_one(tmp_path: Path) -> None:
    fitted = fit(tmp_path, [chunk(np.zeros((8, 8, 1), np.uint8))], [])
    assert (fitted.mean, fitted.std) == ((0.0,), (1.0,))


def test_other_sizes_are_resized(tmp_path: Path) -> None:
    fitted = fit(tmp_path, [chunk(np.full((20, 10, 3), 7, np.uint8))], [], side=16)
    encoded = IMAGE.encoder(fitted, tmp_path)([np.full((5, 9, 3), 7, np.uint8), np.full((40, 30, 1), 7, np.uint8)])["pixels"]
    assert encoded.shape == (2, 16, 16, 3)
    assert (encoded == 7).all()
    assert IMAGE.specs(fitted)["pixels"].shape == (16, 16, 3)


def test_vit_config_stretches_and_uses_its_own_mean(tmp_path: Path) -> None:
    fitted = pretrained(
        tmp_path,
        image_processor_type="ViTImageProcessor",
        size={"height": 24, "width": 24},
        image_mean=[0.1, 0.2, 0.3],
        resample=3,
    )
    assert (fitted.size, fitted.resize, fitted.resample) == ((24, 24), (24, 24), "bicubic")
    assert fitted.mean == pytest.approx((0.1, 0.2, 0.3))
    assert IMAGE.encoder(fitted, tmp_path)([factories.make_image(30, 50)])["pixels"].shape == (1, 24, 24, 3)


@pytest.mark.parametrize("height", [40, 80])
def test_clip_config_resizes_the_shorter_side_and_crops_the_centre(tmp_path: Path, height: int) -> None:
    config = {"size": {"shortest_edge": 24}, "crop_size": {"height": 16, "width": 16}, "do_center_crop": True, "resample": 2}
    fitted = pretrained(tmp_path, **config)
    pixels = factories.make_image(height, 60)
    shorter = (24, 36) if height == 40 else (32, 24)
    resized = np.asarray(Image.fromarray(pixels).resize(shorter[::-1], Image.Resampling.BILINEAR))
    top, left = (shorter[0] - 16) // 2, (shorter[1] - 16) // 2
    encoded = IMAGE.encoder(fitted, tmp_path)([pixels])["pixels"]
    np.testing.assert_array_equal(encoded[0], resized[top : top + 16, left : left + 16])


@pytest.mark.parametrize(
    ("config", "size", "resize"),
    [
        ({"size": 224}, (224, 224), (224, 224)),
        ({"size": 224, "crop_size": 224, "do_center_crop": True}, (224, 224), 224),
        (
            {"size": {"height": 256, "width": 256}, "crop_size": {"height": 224, "width": 224}, "do_center_crop": True},
            (224, 224),
            (256, 256),
        ),
        ({"size": {"shortest_edge": 224}, "image_processor_type": "ConvNextImageProcessor"}, (224, 224), 256),
        ({"size": {"shortest_edge": 384}, "image_processor_type": "ConvNextImageProcessor"}, (384, 384), (384, 384)),
    ],
)
def test_preprocessor_config_sizes_are_parsed(
    tmp_path: Path, config: dict[str, Any], size: tuple[int, int], resize: int | tuple[int, int]
) -> None:
    fitted = pretrained(tmp_path, **config)
    assert (fitted.size, fitted.resize) == (size, resize)


def test_mean_and_std_of_other_scales_are_converted(tmp_path: Path) -> None:
    plain = pretrained(tmp_path, size=8, do_normalize=False)
    assert (plain.mean, plain.std) == ((0, 0, 0), (1, 1, 1))
    symmetric = pretrained(tmp_path, size=8, rescale_factor=1 / 127.5, image_mean=[1, 1, 1], image_std=[1, 1, 1])
    assert symmetric.mean == pytest.approx((0.5, 0.5, 0.5))
    assert symmetric.std == pytest.approx((0.5, 0.5, 0.5))


def test_checkpoint_without_a_usable_config_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"no preprocessor_config\.json"):
        IMAGE.fit([], [], TransformersParams(pretrained="x"), tmp_path, tmp_path)
    with pytest.raises(InvalidRequest, match="no image size"):
        pretrained(tmp_path, image_mean=[0.5, 0.5, 0.5])
    with pytest.raises(InvalidRequest, match="not supported"):
        pretrained(tmp_path, size="large")


def test_files_base64_and_lists_of_an_image_are_equal(tmp_path: Path) -> None:
    pixels = factories.make_image()
    fitted = fit(tmp_path, [chunk(pixels)], [])
    content = factories.image_bytes(pixels)
    text = base64.b64encode(content).decode()
    parsed = IMAGE.parse([text, f"data:image/png;base64,{text}", pixels.tolist()], fitted) + IMAGE.parse_bytes([content], fitted)
    np.testing.assert_array_equal(parsed, [pixels] * 4)
    assert IMAGE.parse([[[0, 255], [1, 2]]], fitted)[0].shape == (2, 2, 1)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("not base64!", "base64"),
        ("", "empty"),
        (base64.b64encode(b"hello").decode(), "not an image"),
        (base64.b64encode(factories.image_bytes()[:60]).decode(), "cannot be decoded"),
        ([[1, 2], [3]], "different lengths"),
        ([[0.5, 1.0]], "integers"),
        ([[0, 256]], "outside 0..255"),
        ([[-1, 0]], "outside 0..255"),
        ([[[1, 2, 3, 4]]], "4 channels"),
        ([1, 2, 3], "expected nested lists"),
        ([], "expected nested lists"),
        ([[10**30]], "integers"),
        ([["a"]], "integers"),
        (5, "expected base64"),
        (None, "expected base64"),
        ({}, "expected base64"),
    ],
)
def test_invalid_images_of_a_prediction_are_reported_by_pointer(tmp_path: Path, value: object, message: str) -> None:
    fitted = fit(tmp_path, [chunk(factories.make_image())], [])
    with pytest.raises(InvalidInputs) as caught:
        IMAGE.parse([[[1]], value], fitted)
    assert [error.pointer for error in caught.value.errors] == ["/inputs/1"]
    assert message in caught.value.errors[0].detail


def test_undecodable_files_of_a_prediction_are_reported_by_pointer(tmp_path: Path) -> None:
    fitted = fit(tmp_path, [chunk(factories.make_image())], [])
    with pytest.raises(InvalidInputs) as caught:
        IMAGE.parse_bytes([factories.image_bytes(), b"x", b""], fitted)
    assert [error.pointer for error in caught.value.errors] == ["/files/1", "/files/2"]


def test_real_grey_and_colour_digits_are_encoded_as_rgb(tmp_path: Path, shared_data: Path) -> None:
    grey = checked(shared_data / "digits" / "usps_test.npz", "image", "npz")
    colour = checked(shared_data / "digits" / "mnistm_unlabelled.npz", "image", "npz")
    fitted = IMAGE.fit(IMAGE.chunks(grey), IMAGE.chunks(colour), CnnParams(), None, tmp_path)
    encode = IMAGE.encoder(fitted, tmp_path)
    pixels = joined([encode(part.inputs) for part in IMAGE.chunks(grey)])["pixels"]
    stored = np.load(grey.path)["x"]
    np.testing.assert_array_equal(pixels, np.repeat(stored[..., None], 3, axis=3))


def test_real_photographs_are_encoded_at_one_size(tmp_path: Path, shared_data: Path) -> None:
    amazon = checked(shared_data / "images" / "amazon.zip", "image", "zip")
    parts = list(IMAGE.chunks(amazon))
    fitted = fit(tmp_path, parts[:1], [], side=32)
    encoded = IMAGE.encoder(fitted, tmp_path)(parts[0].inputs)["pixels"]
    assert encoded.shape[1:] == (32, 32, 3)
    assert len(set(labels(parts))) == 10
