"""Images of archives with splits, pages and damaged files, of Parquet, and of formats that need extras."""

import io
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from app.errors import InvalidDataset
from app.formats import dicom, images
from app.formats.images import InvalidImageError, decode
from app.modalities import MODALITIES
from app.modalities.base import DatasetFile, Profile
from app.networks import default_network
from tests.support.factories import image_bytes, image_zip, make_image, zip_bytes

IMAGE = MODALITIES["image"]
CLASSES = {"cat": 2, "dog": 2}


def check(folder: Path, content: bytes, format: str = "zip", **options: Any) -> tuple[Profile, DatasetFile]:
    path = folder / f"data.{format}"
    path.write_bytes(content)
    parsed = IMAGE.options.model_validate(options)
    profile = IMAGE.check(path, format, parsed)
    return profile, DatasetFile(path, format, parsed, profile.classes is not None, profile.details)


def labels(file: DatasetFile) -> list[str]:
    return [label for chunk in IMAGE.chunks(file) for label in chunk.labels or () if label is not None]


def pages(*values: int) -> bytes:
    first, *others = (Image.fromarray(np.full((9, 9), value, np.uint8)) for value in values)
    buffer = io.BytesIO()
    first.save(buffer, "TIFF", save_all=True, append_images=others)
    return buffer.getvalue()


def test_damaged_files_are_left_out_and_listed(tmp_path: Path) -> None:
    good = {f"{name}/{number}.png": image_bytes(make_image(seed=number)) for name in CLASSES for number in range(2)}
    content = zip_bytes(good | {"cat/empty.png": b"", "dog/notes.txt": b"hello"})
    with pytest.raises(InvalidDataset):
        check(tmp_path, content)
    profile, file = check(tmp_path, content, skip_bad=True)
    assert profile.classes == CLASSES
    assert len(labels(file)) == profile.rows == 4
    (warning,) = profile.details["warnings"]
    assert warning["code"] == "skipped_files"
    assert warning["message"].startswith("2 files ")
    assert warning["examples"][0] == "cat/empty.png: empty: a file of 0 bytes"


def test_folder_of_a_split_is_read_by_an_option(tmp_path: Path) -> None:
    content = image_zip(["train/cat", "train/dog", "test/cat", "test/dog"], each=2)
    with pytest.raises(InvalidDataset, match=r'\{"split": "test"\}'):
        check(tmp_path, content)
    assert check(tmp_path, image_zip(["train/cat", "train/dog"], each=2))[0].classes == CLASSES
    profile, file = check(tmp_path, content, split="Train")
    assert profile.classes == CLASSES
    assert labels(file) == ["cat", "cat", "dog", "dog"]
    with pytest.raises(InvalidDataset, match="no images"):
        check(tmp_path, content, split="val")


@pytest.mark.parametrize("folder", ["photos", "data/photos"])
def test_one_folder_of_images_is_unlabelled(tmp_path: Path, folder: str) -> None:
    profile, file = check(tmp_path, image_zip([folder]))
    assert profile.classes is None
    assert [warning["code"] for warning in profile.details["warnings"]] == ["one_folder"]
    assert labels(file) == []
    assert "label" not in IMAGE.preview(file, [0])[0]


def test_page_of_a_file_with_several_is_selected(tmp_path: Path) -> None:
    content = zip_bytes({f"{name}/{number}.tif": pages(10, 200) for name in CLASSES for number in range(2)})
    with pytest.raises(InvalidDataset, match="select one by the option `page`"):
        check(tmp_path, content)
    _, file = check(tmp_path, content, page=1)
    assert {int(pixels.max()) for chunk in IMAGE.chunks(file) for pixels in chunk.inputs} == {200}
    with pytest.raises(InvalidDataset, match="there is no page 2"):
        check(tmp_path, content, page=2)


def hugging_face_parquet(path: Path, labels: list[int]) -> bytes:
    frame = pl.DataFrame(
        {
            "image": [{"bytes": image_bytes(make_image(seed=number)), "path": None} for number in range(len(labels))],
            "label": labels,
        },
        schema={"image": pl.Struct({"bytes": pl.Binary, "path": pl.String}), "label": pl.Int64},
    )
    names = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    frame.write_parquet(path, metadata={"huggingface": json.dumps(names)})
    return path.read_bytes()


def test_parquet_of_hugging_face_has_images_and_class_names(tmp_path: Path) -> None:
    content = hugging_face_parquet(tmp_path / "made.parquet", [1, 0, 0, 1])
    profile, file = check(tmp_path, content, "parquet")
    assert profile.classes == CLASSES
    assert labels(file) == ["dog", "cat", "cat", "dog"]
    readers = [name for name, each in MODALITIES.items() if "parquet" in each.suffixes.values()]
    claims = {name: MODALITIES[name].can_read(file.path, "parquet", MODALITIES[name].options()) for name in readers}
    assert [name for name, claimed in claims.items() if claimed] == ["image"]


def test_parquet_without_labels_is_unlabelled(tmp_path: Path) -> None:
    content = hugging_face_parquet(tmp_path / "made.parquet", [-1, -1])
    assert check(tmp_path, content, "parquet")[0].classes is None


def dicom_bytes(values: np.ndarray[Any, Any]) -> bytes:
    """Return a CT slice of 16 bits whose unit starts at -1024."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, UID("1.2.3")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, UID("1.2.3")
    data.Rows, data.Columns = values.shape
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.PixelData = values.astype(np.uint16).tobytes()
    buffer = io.BytesIO()
    data.save_as(buffer)
    return buffer.getvalue()


def test_dicom_has_the_values_of_its_unit() -> None:
    stored = np.arange(64).reshape(8, 8) * 64
    values = decode(dicom_bytes(stored))
    assert values.shape == (8, 8, 1)
    assert np.array_equal(values[:, :, 0], stored - 1024)


def test_damaged_dicom_is_an_invalid_image() -> None:
    with pytest.raises(InvalidImageError, match="DICOM file that is damaged"):
        decode(dicom_bytes(np.zeros((8, 8)))[:-60])


def saved(format: str) -> bytes:
    image, buffer = Image.fromarray(make_image(40, 40)), io.BytesIO()
    image.save(buffer, format)
    return buffer.getvalue()


def test_avif_and_heic_are_read() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    for content in (saved("AVIF"), saved("HEIF")):
        assert decode(content).shape == (40, 40, 3)


def test_missing_extras_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ct, heic = dicom_bytes(np.zeros((8, 8))), b"\0\0\0\x18ftypheic" + bytes(100)

    def absent(name: str) -> Any:
        return None if name in ("pydicom", "pillow_heif") else find_spec(name)

    for module in (dicom, images):
        monkeypatch.setattr(module, "find_spec", absent)
    images._registers_heif.cache_clear()  # noqa: SLF001  # a test of both states in one process
    with pytest.raises(InvalidImageError, match=r"isthmus\[dicom\]"):
        decode(ct)
    with pytest.raises(InvalidImageError, match=r"isthmus\[heic\]"):
        decode(heic)


@pytest.mark.parametrize("bits", [12, 16])
def test_deep_images_are_encoded_as_their_copy_of_8_bits(tmp_path: Path, bits: int) -> None:
    generator = np.random.default_rng(0)
    originals = [generator.integers(0, 256, (40, 30), np.uint8) for _ in range(4)]
    for values in originals:
        values[0, :2] = 0, 255  # the whole range, so that no level moves
    scale = (2**bits - 1) / 255

    def encoded(copies: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        names = [f"{name}/{number}.png" for name in CLASSES for number in range(2)]
        content = zip_bytes({name: image_bytes(values[:, :, None]) for name, values in zip(names, copies, strict=True)})
        _, file = check(tmp_path, content)
        fitted = IMAGE.fit(IMAGE.chunks(file), [], default_network("image"), None, tmp_path)
        chunk = next(IMAGE.chunks(file))
        pixels: np.ndarray[Any, Any] = IMAGE.encoder(fitted, tmp_path)(chunk.inputs)["pixels"]
        return pixels

    deep = [np.rint(values * scale).astype(np.uint16) for values in originals]
    assert np.array_equal(encoded(deep), encoded(originals))
