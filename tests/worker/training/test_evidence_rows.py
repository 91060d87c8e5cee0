import numpy as np
import torch

from worker.training.evidence_rows import IMAGE_SIDE, evidence_rows, narrowed


def test_tables_have_numbers_indicators_and_levels() -> None:
    numbers, levels = torch.tensor([[1.0, torch.nan], [3.0, 5.0]]), torch.tensor([[0], [2]])
    source, target, alignable = evidence_rows(*2 * ({"numbers": numbers, "categories": levels},))
    assert source.columns.tolist() == target.columns.tolist() == [[1, 5, 0, 1, 1, 0, 0], [3, 5, 0, 0, 0, 0, 1]]
    assert alignable.tolist() == [True, True, False, False, False, False, False]


def test_large_images_become_small_and_series_have_a_spectrum() -> None:
    pixels = torch.randint(0, 256, (4, 64, 48, 3), dtype=torch.uint8)
    assert evidence_rows({"pixels": pixels}, {"pixels": pixels})[0].columns.shape == (4, 3 * IMAGE_SIDE**2)
    series = torch.randn(4, 2, 500)
    columns = evidence_rows({"series": series}, {"series": series})[0].columns
    assert columns.shape == (4, 2 * (96 + 48))
    assert np.isfinite(columns).all()


def test_texts_of_different_lengths_are_bags_of_terms() -> None:
    source = {"terms": torch.tensor([[1, 2, 0]]), "weights": torch.tensor([[0.6, 0.8, 0.0]])}
    target = {"terms": torch.tensor([[4, 1]]), "weights": torch.tensor([[1.0, 0.5]])}
    first, second, _ = evidence_rows(source, target)
    assert first.terms is not None
    assert second.terms is not None
    assert first.terms.toarray().round(1).tolist() == [[0, 0.6, 0.8, 0, 0]]
    assert second.terms.toarray().tolist() == [[0, 0.5, 0, 0, 1]]


def test_many_classes_narrow_the_columns() -> None:
    features = {"features": torch.randn(300, 400)}
    rows = evidence_rows(features, features)
    assert narrowed(*rows, 10)[0].columns.shape == (300, 400)
    source, target, alignable = narrowed(*rows, 1000)
    assert source.columns.shape == target.columns.shape == (300, 100)
    assert alignable.sum() == 100
