"""Data that scikit-learn brings: digits, breast cancer, wine, diabetes and patches of two photographs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn import datasets as bundled

from benchmarks.shifts.changes import images, tables
from benchmarks.shifts.rows import Change, Dataset, Rows

PATCH_SIZE, PATCHES = 16, 700


def datasets(data: Path) -> Iterator[Dataset]:
    yield Dataset("digits", "image", digits, images.CHANGES)
    yield Dataset(
        "digits-parity", "image", parity, _some(images.CHANGES, "none", "rotation", "contrast", "labels", "noise"), "digits"
    )
    yield Dataset(
        "digits-3-8", "image", threes_and_eights, _some(images.CHANGES, "translation", "blur", "contrast-labels"), "digits"
    )
    photographs = _some(images.CHANGES, "none", "contrast", "noise", "blur", "missing-class", "noise-labels")
    yield Dataset("photographs", "image", patches, photographs)
    yield Dataset("breast-cancer", "tabular", breast_cancer, tables.rotated(0) | tables.rotated(3))
    yield Dataset("diabetes", "tabular", diabetes, tables.rotated(1))


def digits() -> Rows:
    pixels, labels = bundled.load_digits(return_X_y=True)
    return Rows((pixels.reshape(-1, 8, 8) * 15.9).astype(np.uint8), labels.astype(str))


def parity() -> Rows:
    rows = digits()
    return Rows(rows.inputs, np.where(rows.labels.astype(int) % 2 == 0, "even", "odd"))


def threes_and_eights() -> Rows:
    rows = digits()
    return rows.take(np.flatnonzero(np.isin(rows.labels, ["3", "8"])))


def patches() -> Rows:
    """Return grey patches of both photographs; the class is the photograph."""
    random, inputs, labels = np.random.default_rng(0), [], []
    for name, photograph in zip(("temple", "flower"), bundled.load_sample_images().images, strict=True):
        grey = photograph.mean(axis=2)
        for _ in range(PATCHES):
            row, column = (random.integers(size - PATCH_SIZE) for size in grey.shape)
            inputs.append(grey[row : row + PATCH_SIZE, column : column + PATCH_SIZE])
            labels.append(name)
    return Rows(np.array(inputs).astype(np.uint8), np.array(labels))


def breast_cancer() -> Rows:
    values, labels = bundled.load_breast_cancer(return_X_y=True)
    return _table(values, labels, ("malignant", "benign"))


def diabetes() -> Rows:
    values, progression = bundled.load_diabetes(return_X_y=True)
    return _table(values, (progression > np.median(progression)).astype(int), ("low", "high"))


def _table(values: NDArray[Any], labels: NDArray[Any], names: tuple[str, ...]) -> Rows:
    return Rows(pl.DataFrame(values, schema=[f"v{number}" for number in range(values.shape[1])]), np.array(names)[labels])


def _some(changes: dict[str, Change], *names: str) -> dict[str, Change]:
    return {name: changes[name] for name in names}
