"""Uploads that name no modality, where two modalities have the suffix .npz."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import InvalidRequest
from app.formats import npz
from app.modalities import MODALITIES
from app.modalities.base import DatasetOptions
from app.modalities.image import Image
from app.schemas.datasets import DatasetCreate
from app.services.format_detection import detect_format
from tests.support.factories import npz_bytes, write

IMAGES = np.zeros((2, 8, 8), np.uint8)
SERIES = np.zeros((2, 3, 50), np.float32)


class Series(Image):
    """A modality of float arrays (n, channels, time)."""

    name = "series"

    def can_read(self, path: Path, format: str, options: DatasetOptions) -> bool:
        x = npz.headers(path).get("x")
        return format == "npz" and x is not None and x.dtype.kind == "f" and len(x.shape) == 3


@pytest.fixture(autouse=True)
def _two_npz_modalities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODALITIES, "series", Series())


def detected(folder: Path, filename: str, content: bytes, modality: str | None = None) -> str:
    path = write(folder, filename, content)
    form = DatasetCreate(name="a", modality=modality)
    return detect_format(path, filename, form).modality.name


@pytest.mark.parametrize(
    ("x", "modality"),
    [(IMAGES, "image"), (IMAGES[..., None], "image"), (np.zeros((2, 8, 8, 3), np.uint8), "image"), (SERIES, "series")],
)
def test_npz_is_assigned_by_type_and_shape_of_its_array(tmp_path: Path, x: NDArray[Any], modality: str) -> None:
    assert detected(tmp_path, "a.npz", npz_bytes(x=x)) == modality


@pytest.mark.parametrize("arrays", [{"x": np.zeros((2, 8, 8), np.int64)}, {"x": np.zeros((2, 8), np.uint8)}, {"images": IMAGES}])
def test_npz_that_no_modality_claims_is_rejected(tmp_path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    with pytest.raises(InvalidRequest, match="does not look like image or series: name its `modality`"):
        detected(tmp_path, "a.npz", npz_bytes(**arrays))
    assert detected(tmp_path, "a.npz", npz_bytes(**arrays), "image") == "image"


def test_npz_that_two_modalities_claim_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Series, "can_read", lambda *arguments: True)
    with pytest.raises(InvalidRequest, match="can be read as image or series: name its `modality`"):
        detected(tmp_path, "a.npz", npz_bytes(x=IMAGES))
