"""The demo's data: other digits in each of the three sets, and the same again for the same seed."""

import io

import numpy as np
import pytest
from PIL import Image

from app.demo import images as pictures
from app.demo.client import Bar


@pytest.fixture(scope="module")
def data() -> pictures.Data:
    return pictures.make(0)


def test_sizes_and_kinds_are_those_of_a_data_set_of_pictures(data: pictures.Data) -> None:
    images, labels = data.source
    assert images.shape == (9600, 28, 28, 3)
    assert images.dtype == np.uint8
    assert set(labels) == set(range(10))
    assert data.target.shape == (8400, 28, 28, 3)
    assert data.evaluation[0].shape == (297, 28, 28, 3)


def test_the_target_is_in_colour_and_the_source_is_not(data: pictures.Data) -> None:
    assert (data.source[0][..., 0] == data.source[0][..., 2]).all()
    assert (data.target[..., 0] != data.target[..., 2]).mean() > 0.5


def test_the_three_sets_are_made_of_different_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_digits", lambda random: (_numbered(1797), np.arange(1797)))
    monkeypatch.setattr(pictures, "_shifted", lambda images, random: images)
    monkeypatch.setattr(pictures, "_blended", lambda images, photographs, random: images)
    data = pictures.make(0)
    sets = [{tuple(image[0, 0]) for image in images} for images in (data.source[0], data.target, data.evaluation[0])]
    assert [len(one) for one in sets] == [800, 700, 297]
    assert len(sets[0] | sets[1] | sets[2]) == 1797


def _numbered(count: int) -> pictures.Pictures:
    numbers = np.arange(count)
    corner = np.stack([numbers % 256, numbers // 256, numbers * 0], axis=1).astype(np.uint8)
    return np.broadcast_to(corner[:, None, None, :], (count, 28, 28, 3)).copy()


def test_a_seed_repeats_and_another_differs(data: pictures.Data) -> None:
    assert (pictures.make(0).target == data.target).all()
    assert (pictures.make(1).target != data.target).any()


def test_files_hold_the_pictures_bit_by_bit(data: pictures.Data) -> None:
    archive = np.load(io.BytesIO(pictures.npz(*data.evaluation)), allow_pickle=False)
    assert (archive["x"] == data.evaluation[0]).all()
    assert (archive["y"] == data.evaluation[1]).all()
    assert (np.asarray(Image.open(io.BytesIO(pictures.png(data.target[0])))) == data.target[0]).all()


def test_without_a_terminal_the_bar_prints_a_line_every_fifth(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Bar("dann")
    for percent in range(0, 101):
        bar.show({"status": "running", "progress": percent / 100, "eta_seconds": 10.0})
    bar.end()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert "[###############...............]  50%" not in "".join(lines)
    assert "10 s left" in lines[1]
