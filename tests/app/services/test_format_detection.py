"""Uploads that name no modality, where several modalities have the suffix of the file."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import InvalidRequest
from app.schemas.datasets import DatasetCreate
from app.services.format_detection import detect_format
from tests.support.factories import npz_bytes, write

IMAGES = np.zeros((2, 8, 8), np.uint8)
SERIES = np.zeros((2, 3, 50), np.float32)


def detected(folder: Path, filename: str, content: bytes, modality: str | None = None, **options: Any) -> str:
    path = write(folder, filename, content)
    form = DatasetCreate(name="a", modality=modality, options=options)
    return detect_format(path, filename, form).modality.name


@pytest.mark.parametrize(
    ("x", "modality"),
    [
        (IMAGES, "image"),
        (IMAGES[..., None], "image"),
        (np.zeros((2, 8, 8, 3), np.uint8), "image"),
        (np.zeros((2, 8, 8), np.int64), "image"),
        (np.zeros((2, 28, 28), np.float32), "image"),
        (SERIES, "series"),
        (np.zeros((2, 50), np.int16), "series"),
    ],
)
def test_npz_is_assigned_by_type_and_shape_of_its_array(tmp_path: Path, x: NDArray[Any], modality: str) -> None:
    assert detected(tmp_path, "a.npz", npz_bytes(x=x)) == modality


@pytest.mark.parametrize("x", [np.zeros((2, 8, 8, 8), np.float32), np.zeros(8, np.uint8), np.array(["a", "b"])])
def test_npz_that_no_modality_claims_is_rejected(tmp_path: Path, x: NDArray[Any]) -> None:
    with pytest.raises(InvalidRequest, match="does not look like image or series: name its `modality`"):
        detected(tmp_path, "a.npz", npz_bytes(x=x))
    assert detected(tmp_path, "a.npz", npz_bytes(x=x), "image") == "image"


def test_npz_that_two_modalities_claim_is_rejected(tmp_path: Path) -> None:
    content = npz_bytes(x=np.zeros((2, 32, 128), np.float32))
    with pytest.raises(InvalidRequest, match="can be read as image or series: name its `modality`"):
        detected(tmp_path, "a.npz", content)
    assert detected(tmp_path, "a.npz", content, "series") == "series"


LONG_TABLE = b"id,time,x,label\n" + b"".join(b"%d,%d,0.5,a\n" % (row // 10, row) for row in range(40))


def test_table_of_recordings_needs_a_modality_or_an_option_of_series(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="can be read as series or tabular: name its `modality`"):
        detected(tmp_path, "a.csv", LONG_TABLE)
    assert detected(tmp_path, "a.csv", LONG_TABLE, "tabular") == "tabular"
    assert detected(tmp_path, "a.csv", LONG_TABLE, window=8) == "series"


def test_table_with_one_row_per_id_is_no_series(tmp_path: Path) -> None:
    content = b"id,time,x,label\n" + b"".join(b"%d,%d,0.5,a\n" % (row, row) for row in range(40))
    assert detected(tmp_path, "a.csv", content) == "tabular"


@pytest.mark.parametrize(
    ("name", "modality"), [("a/1.csv", "series"), ("a/1.WAV", "series"), ("a/1.png", "image"), ("a/1", "image")]
)
def test_archive_is_assigned_by_the_names_of_its_files(tmp_path: Path, name: str, modality: str) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, b"x")
    assert detected(tmp_path, "a.zip", content.getvalue()) == modality
