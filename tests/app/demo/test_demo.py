"""The demo's data and progress bar."""

import io

import numpy as np
import pytest

from app.demo import images as demo_images
from app.demo.client import ProgressBar


@pytest.fixture(scope="module")
def data() -> demo_images.Data:
    return demo_images.make(0)


def test_demo_datasets_have_the_expected_sizes_and_types(data: demo_images.Data) -> None:
    images, labels = data.source
    assert images.shape == (9600, 28, 28, 3)
    assert images.dtype == np.uint8
    assert set(labels) == set(range(10))
    assert data.target.shape == (8400, 28, 28, 3)
    assert data.evaluation[0].shape == (297, 28, 28, 3)


def test_target_is_in_colour_and_source_is_grey(data: demo_images.Data) -> None:
    assert (data.source[0][..., 0] == data.source[0][..., 2]).all()
    assert (data.target[..., 0] != data.target[..., 2]).mean() > 0.5


def test_demo_datasets_share_no_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_images, "_digits", lambda random: (_numbered(1797), np.arange(1797)))
    monkeypatch.setattr(demo_images, "_shifted", lambda images, random: images)
    monkeypatch.setattr(demo_images, "_blended", lambda images, photographs, random: images)
    data = demo_images.make(0)
    digits = [{tuple(image[0, 0]) for image in images} for images in (data.source[0], data.target, data.evaluation[0])]
    assert [len(one) for one in digits] == [800, 700, 297]
    assert len(digits[0] | digits[1] | digits[2]) == 1797


def _numbered(count: int) -> demo_images.Images:
    numbers = np.arange(count)
    corner = np.stack([numbers % 256, numbers // 256, numbers * 0], axis=1).astype(np.uint8)
    return np.broadcast_to(corner[:, None, None, :], (count, 28, 28, 3)).copy()


def test_equal_seeds_give_equal_data_others_do_not(data: demo_images.Data) -> None:
    assert (demo_images.make(0).target == data.target).all()
    assert (demo_images.make(1).target != data.target).any()


def test_files_contain_the_exact_images(data: demo_images.Data) -> None:
    archive = np.load(io.BytesIO(demo_images.npz(*data.evaluation)), allow_pickle=False)
    assert (archive["x"] == data.evaluation[0]).all()
    assert (archive["y"] == data.evaluation[1]).all()
    assert (np.asarray(demo_images.pillow(data.target[0])) == data.target[0]).all()


def test_progress_bar_prints_six_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar("dann")
    for percent in range(0, 101):
        bar.show({"status": "running", "progress": percent / 100, "eta_seconds": 10.0})
    bar.end()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert "[###############...............]  50%" not in "".join(lines)
    assert "10 s left" in lines[1]
