"""Profiles of several sources as one, for every modality."""

from pathlib import Path

import numpy as np

from app.modalities import MODALITIES
from app.modalities.base import DatasetFile, Profile
from tests.support.dataset_reading import dataset
from tests.support.factories import csv_bytes, jsonl_bytes, npz_bytes


def profile(file: DatasetFile, modality: str) -> Profile:
    return MODALITIES[modality].check(file.path, file.format, file.options)


def joined(folder: Path, modality: str, *files: tuple[str, bytes]) -> Profile:
    first, second = (profile(dataset(folder, name, content, modality), modality) for name, content in files)
    return MODALITIES[modality].joined(first, second)


def test_table_keeps_the_columns_of_both_with_levels_and_ranges_of_both(tmp_path: Path) -> None:
    rows = [(number, ("red", "blue")[number % 2], 2.5 * number, ("yes", "no")[number % 2]) for number in range(1, 21)]
    first = csv_bytes(("age", "colour", "dose", "label"), rows)
    other = [
        (age + 40, {"red": "green"}.get(colour, colour), {"yes": "maybe"}.get(label, label)) for age, colour, _, label in rows
    ]
    found = joined(tmp_path, "tabular", ("a.csv", first), ("b.csv", csv_bytes(("age", "colour", "label"), other)))
    columns = {column["name"]: column for column in found.details["columns"]}
    assert columns.keys() == {"age", "colour"}
    assert columns["age"]["range"] == [1, 60]
    assert columns["colour"]["levels"] == ["blue", "green", "red"]
    assert (found.rows, found.classes) == (40, {"yes": 10, "no": 20, "maybe": 10})


def test_images_have_the_sizes_and_the_range_of_both(tmp_path: Path) -> None:
    small = np.random.default_rng(0).integers(0, 256, (6, 8, 10), dtype=np.uint8)
    deep = np.random.default_rng(1).random((6, 12, 9, 3), dtype=np.float32) * 4
    files = [(f"{name}.npz", npz_bytes(x=pixels, y=np.arange(6) % 2)) for name, pixels in (("a", small), ("b", deep))]
    found = joined(tmp_path, "image", *files)
    assert (found.details["height"], found.details["width"], found.details["channels"]) == ([8, 12], [9, 10], 3)
    assert found.details["values"]["range"] == profile(dataset(tmp_path, *files[1], "image"), "image").details["values"]["range"]


def test_texts_have_the_terms_of_both(tmp_path: Path) -> None:
    contents = [jsonl_bytes([{"text": f"{word} thing", "label": str(n % 2)} for n in range(4)]) for word in ("good", "gut")]
    files = [(f"{n}.jsonl", content) for n, content in enumerate(contents)]
    found = joined(tmp_path, "text", *files)
    parts = [set(profile(dataset(tmp_path, *file, "text"), "text").details["frequent_terms"]) for file in files]
    assert set(found.details["frequent_terms"]) == parts[0] | parts[1]
    assert parts[0] != parts[1]
