"""Pictures from upload to arrays."""

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
from app.formats.images import Pixels, decode
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


def chunk(*pictures: Pixels) -> Chunk:
    return Chunk(list(pictures), None, len(pictures))


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


def test_zip_tar_and_npz_of_the_same_pictures_are_read_alike(tmp_path: Path) -> None:
    pictures = [factories.make_image(seed=seed) for seed in range(4)]
    names = ["cat", "cat", "dog", "dog"]
    files = {
        f"{name}/{number}.png": factories.image_bytes(picture)
        for number, (name, picture) in enumerate(zip(names, pictures, strict=True))
    }
    npz = factories.npz_bytes(x=np.stack(pictures), y=np.array(names))
    for filename, content in (("a.zip", factories.zip_bytes(files)), ("a.tar.gz", tar_gz(files)), ("a.npz", npz)):
        file = dataset(tmp_path, filename, content, "image")
        chunks = list(IMAGE.chunks(file, 3))
        assert [part.rows for part in chunks] == [3, 1]
        assert labels(chunks) == names
        np.testing.assert_array_equal([pixels for part in chunks for pixels in part.inputs], pictures)
        assert file.details == {"channels": 3, "height": [8, 8], "width": [8, 8]}


@pytest.mark.parametrize("labels_", [np.arange(3), np.array(["0", "1", "2"]), np.array([b"0", b"1", b"2"])])
def test_npz_labels_are_numbers_or_strings(tmp_path: Path, labels_: "np.ndarray[Any, Any]") -> None:
    file = dataset(tmp_path, "a.npz", factories.npz_bytes(x=np.zeros((3, 4, 4), np.uint8), y=labels_), "image")
    assert labels(list(IMAGE.chunks(file))) == ["0", "1", "2"]


def test_flat_archives_are_unlabelled(tmp_path: Path) -> None:
    file = dataset(tmp_path, "a.zip", factories.image_zip(classes=[]), "image")
    assert not file.labelled
    assert next(IMAGE.chunks(file)).labels is None


def test_folders_of_zips_from_windows_are_classes(tmp_path: Path) -> None:
    picture = factories.image_bytes()
    content = factories.zip_bytes({"cat\\": b"", "cat\\0.png": picture, "dog\\0.png": picture})
    file = dataset(tmp_path, "a.zip", content, "image")
    assert labels(list(IMAGE.chunks(file))) == ["cat", "dog"]


@pytest.mark.parametrize("ending", ["zip", "tar.gz"])
def test_a_folder_around_all_classes_is_no_class(tmp_path: Path, ending: str) -> None:
    picture = factories.image_bytes()
    names = ["photos/cat/0.png", "__MACOSX/photos/cat/._0.png", "photos/.DS_Store", "photos/dog/1.png"]
    files = dict.fromkeys(names, picture)
    content = factories.zip_bytes({"photos/": b"", **files}) if ending == "zip" else tar_gz(files)
    file = dataset(tmp_path, f"a.{ending}", content, "image")
    assert labels(list(IMAGE.chunks(file))) == ["cat", "dog"]


def test_large_pictures_come_in_small_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "CHUNK_BYTES", 400)
    file = dataset(tmp_path, "a.zip", factories.image_zip(each=3), "image")
    assert [part.rows for part in IMAGE.chunks(file)] == [3, 3]


@pytest.mark.parametrize(
    ("mode", "channels"),
    [("1", 1), ("L", 1), ("LA", 1), ("I;16", 1), ("RGB", 3), ("RGBA", 3), ("P", 3), ("CMYK", 3)],
)
def test_every_kind_of_picture_becomes_grey_or_rgb(mode: str, channels: int) -> None:
    picture = Image.new(mode, (5, 3), 1 if mode == "1" else 65535 if mode == "I;16" else None or 0)
    buffer = io.BytesIO()
    picture.save(buffer, "TIFF" if mode == "CMYK" else "PNG")
    assert decode(buffer.getvalue()).shape == (3, 5, channels)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.array([[0, 256, 32768, 65535]], np.uint16)).save(buffer, "PNG")
    assert decode(buffer.getvalue())[0, :, 0].tolist() == [0, 1, 128, 255]


def test_pictures_are_turned_as_their_exif_says() -> None:
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


def test_mean_and_deviation_are_over_both_sides_in_the_network_size(tmp_path: Path) -> None:
    source, target = factories.make_image(seed=1), factories.make_image(seed=2)
    fitted = fit(tmp_path, [chunk(source)], [chunk(target)])
    pixels = np.stack([source, target]) / 255
    np.testing.assert_allclose(fitted.mean, pixels.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(fitted.std, pixels.std(axis=(0, 1, 2)))
    assert (fitted.size, fitted.channels) == ((8, 8), 3)


def test_pictures_much_larger_than_a_networks_input_are_told_of() -> None:
    def told(network: NetworkParams, side: int) -> list[str]:
        return IMAGE.information_loss(network, Profile("npz", 9, None, {"height": [side, 900], "width": [side + 1, 900]}))

    assert told(CnnParams(input_size=28), 55) == []
    (reduction,) = told(CnnParams(input_size=28), 56)
    assert "Pictures of 56 x 57 pixels and more are brought to 28 x 28" in reduction
    assert told(TransformersParams(pretrained="a/b"), 5000) == []


@pytest.mark.parametrize("swapped", [False, True])
def test_grey_is_promoted_when_the_other_side_is_rgb(tmp_path: Path, swapped: bool) -> None:
    grey, colour = factories.make_image(channels=1), factories.make_image(channels=3)
    sides = [[chunk(grey)], [chunk(colour)]]
    fitted = fit(tmp_path, sides[swapped], sides[not swapped])
    encoded = IMAGE.encoder(fitted, tmp_path)([grey, colour])["pixels"]
    assert encoded.shape == (2, 8, 8, 3)
    assert encoded.dtype == np.uint8
    np.testing.assert_array_equal(encoded[0], np.repeat(grey, 3, axis=2))
    np.testing.assert_array_equal(encoded[1], colour)


def test_grey_stays_grey_and_a_colour_picture_is_turned_grey_then(tmp_path: Path) -> None:
    fitted = fit(tmp_path, [chunk(factories.make_image(channels=1))], [chunk(factories.make_image(channels=1))])
    encoded = IMAGE.encoder(fitted, tmp_path)([factories.make_image(channels=3)])["pixels"]
    assert (fitted.channels, encoded.shape) == (1, (1, 8, 8, 1))


def test_a_black_set_has_deviation_one(tmp_path: Path) -> None:
    fitted = fit(tmp_path, [chunk(np.zeros((8, 8, 1), np.uint8))], [])
    assert (fitted.mean, fitted.std) == ((0.0,), (1.0,))


def test_other_sizes_are_resized(tmp_path: Path) -> None:
    fitted = fit(tmp_path, [chunk(np.full((20, 10, 3), 7, np.uint8))], [], side=16)
    encoded = IMAGE.encoder(fitted, tmp_path)([np.full((5, 9, 3), 7, np.uint8), np.full((40, 30, 1), 7, np.uint8)])["pixels"]
    assert encoded.shape == (2, 16, 16, 3)
    assert (encoded == 7).all()
    assert IMAGE.specs(fitted)["pixels"].shape == (16, 16, 3)


def test_a_vit_stretches_with_its_own_mean(tmp_path: Path) -> None:
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
def test_a_clip_resizes_the_shorter_side_and_cuts_the_centre(tmp_path: Path, height: int) -> None:
    config = {"size": {"shortest_edge": 24}, "crop_size": {"height": 16, "width": 16}, "do_center_crop": True, "resample": 2}
    fitted = pretrained(tmp_path, **config)
    picture = factories.make_image(height, 60)
    shorter = (24, 36) if height == 40 else (32, 24)
    resized = np.asarray(Image.fromarray(picture).resize(shorter[::-1], Image.Resampling.BILINEAR))
    top, left = (shorter[0] - 16) // 2, (shorter[1] - 16) // 2
    encoded = IMAGE.encoder(fitted, tmp_path)([picture])["pixels"]
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
def test_preprocessor_configs_are_understood(
    tmp_path: Path, config: dict[str, Any], size: tuple[int, int], resize: int | tuple[int, int]
) -> None:
    fitted = pretrained(tmp_path, **config)
    assert (fitted.size, fitted.resize) == (size, resize)


def test_other_scales_are_brought_to_ours(tmp_path: Path) -> None:
    plain = pretrained(tmp_path, size=8, do_normalize=False)
    assert (plain.mean, plain.std) == ((0, 0, 0), (1, 1, 1))
    symmetric = pretrained(tmp_path, size=8, rescale_factor=1 / 127.5, image_mean=[1, 1, 1], image_std=[1, 1, 1])
    assert symmetric.mean == pytest.approx((0.5, 0.5, 0.5))
    assert symmetric.std == pytest.approx((0.5, 0.5, 0.5))


def test_a_checkpoint_without_a_usable_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"no preprocessor_config\.json"):
        IMAGE.fit([], [], TransformersParams(pretrained="x"), tmp_path, tmp_path)
    with pytest.raises(InvalidRequest, match="no image size"):
        pretrained(tmp_path, image_mean=[0.5, 0.5, 0.5])
    with pytest.raises(InvalidRequest, match="not supported"):
        pretrained(tmp_path, size="large")


def test_files_base64_and_lists_are_the_same_picture(tmp_path: Path) -> None:
    picture = factories.make_image()
    fitted = fit(tmp_path, [chunk(picture)], [])
    content = factories.image_bytes(picture)
    text = base64.b64encode(content).decode()
    parsed = IMAGE.parse([text, f"data:image/png;base64,{text}", picture.tolist()], fitted) + IMAGE.parse_bytes([content], fitted)
    np.testing.assert_array_equal(parsed, [picture] * 4)
    assert IMAGE.parse([[[0, 255], [1, 2]]], fitted)[0].shape == (2, 2, 1)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("not base64!", "base64"),
        ("", "not an image"),
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
def test_bad_pictures_of_a_prediction_are_named(tmp_path: Path, value: object, says: str) -> None:
    fitted = fit(tmp_path, [chunk(factories.make_image())], [])
    with pytest.raises(InvalidInputs) as caught:
        IMAGE.parse([[[1]], value], fitted)
    assert [error.pointer for error in caught.value.errors] == ["/inputs/1"]
    assert says in caught.value.errors[0].detail


def test_undecodable_files_of_a_prediction_are_named(tmp_path: Path) -> None:
    fitted = fit(tmp_path, [chunk(factories.make_image())], [])
    with pytest.raises(InvalidInputs) as caught:
        IMAGE.parse_bytes([factories.image_bytes(), b"x", b""], fitted)
    assert [error.pointer for error in caught.value.errors] == ["/files/1", "/files/2"]


def test_real_digits_meet_in_rgb(tmp_path: Path, shared_data: Path) -> None:
    grey = checked(shared_data / "digits" / "usps_test.npz", "image", "npz")
    colour = checked(shared_data / "digits" / "mnistm_unlabelled.npz", "image", "npz")
    fitted = IMAGE.fit(IMAGE.chunks(grey), IMAGE.chunks(colour), CnnParams(), None, tmp_path)
    encode = IMAGE.encoder(fitted, tmp_path)
    pixels = joined([encode(part.inputs) for part in IMAGE.chunks(grey)])["pixels"]
    stored = np.load(grey.path)["x"]
    np.testing.assert_array_equal(pixels, np.repeat(stored[..., None], 3, axis=3))


def test_real_photographs_are_brought_to_one_size(tmp_path: Path, shared_data: Path) -> None:
    amazon = checked(shared_data / "images" / "amazon.zip", "image", "zip")
    parts = list(IMAGE.chunks(amazon))
    fitted = fit(tmp_path, parts[:1], [], side=32)
    encoded = IMAGE.encoder(fitted, tmp_path)(parts[0].inputs)["pixels"]
    assert encoded.shape[1:] == (32, 32, 3)
    assert len(set(labels(parts))) == 10
