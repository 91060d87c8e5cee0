from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from worker.estimates.feature_embedding import proxy_a_distance, write_embedding
from worker.evaluation.outputs import ModelOutputs

CLASSES = ["ant", "bee", "cat"]


def model_outputs(apart: float, *, rows: int = 60) -> ModelOutputs:
    """Return outputs for three classes in twelve features, with the target moved by `apart`."""
    random = np.random.default_rng(0)
    labels = np.arange(rows) % 3

    def side(moved: float) -> np.ndarray:
        features: np.ndarray = (4 * np.eye(3, 12)[labels] + random.normal(size=(rows, 12))).astype(np.float32)
        features[:, 11] += moved
        return features

    source, target = side(0), side(apart)
    return ModelOutputs(source, source[:, :3], labels, target, target[:, :3])


def test_proxy_a_distance_is_0_for_equal_2_for_separable() -> None:
    random = np.random.default_rng(0)
    source, target = random.normal(size=(2, 600, 8)).astype(np.float32)
    assert proxy_a_distance(source, target) < 0.35
    assert proxy_a_distance(source, target + 5) == pytest.approx(2, abs=0.01)
    assert 0.4 < proxy_a_distance(source, target + 0.4) < 1.8
    assert proxy_a_distance(source, target + 5) == proxy_a_distance(source, target + 5)


def test_proxy_a_distance_weighs_both_domains_equally() -> None:
    random = np.random.default_rng(0)
    source, target = random.normal(size=(900, 4)).astype(np.float32), random.normal(size=(60, 4)).astype(np.float32)
    assert proxy_a_distance(source, target) < 0.7
    with pytest.raises(ValueError, match="two rows"):
        proxy_a_distance(source, target[:1])


def numbers(rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers of the rows of source and target."""
    return np.arange(1, rows + 1), np.arange(1, rows + 1)


def test_embedding_groups_classes_and_labels_rows(tmp_path: Path) -> None:
    before, after = model_outputs(8), model_outputs(0)
    assert write_embedding(tmp_path / "embedding.parquet", before, after, CLASSES, numbers(60)) == 120
    table = pl.read_parquet(tmp_path / "embedding.parquet")
    assert table.columns == ["x_before", "y_before", "x_after", "y_after", "domain", "class", "row", "disputed"]
    assert table["row"].to_list() == [*range(1, 61)] * 2
    assert table["domain"].to_list() == ["source"] * 60 + ["target"] * 60
    assert table["class"].to_list()[:3] == CLASSES
    positions = table.select("x_after", "y_after").to_numpy()
    distance = np.square(positions[:, None] - positions[None]).sum(axis=2) + np.eye(120) * 1e9
    neighbour = table["class"].to_numpy()[distance.argmin(axis=1)]
    assert (neighbour == table["class"].to_numpy()).mean() > 0.9
    assert np.isfinite(table.select("x_before", "y_before").to_numpy()).all()


def test_few_rows_write_no_embedding(tmp_path: Path) -> None:
    few = model_outputs(0, rows=3)
    assert write_embedding(tmp_path / "embedding.parquet", few, replace(few), CLASSES, numbers(3)) == 0
    assert not (tmp_path / "embedding.parquet").exists()


def test_sorted_rows_are_sampled_from_all_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.estimates.feature_embedding.EMBEDDING_ROWS", 30)
    given = model_outputs(0, rows=120)
    order = np.argsort(given.source_labels, kind="stable")
    grouped = ModelOutputs(
        given.source_features[order],
        given.source_logits[order],
        given.source_labels[order],
        given.target_features[order],
        given.target_logits[order],
    )
    assert write_embedding(tmp_path / "embedding.parquet", grouped, grouped, CLASSES, numbers(len(grouped.source_labels))) == 60
    table = pl.read_parquet(tmp_path / "embedding.parquet")
    assert table.filter(domain="source")["class"].value_counts()["count"].to_list() == [10, 10, 10]
