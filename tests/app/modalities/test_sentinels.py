"""Numbers that stand for a missing value are found, reported and learned as missing; counts and wide ranges are left alone."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from app.modalities import MODALITIES
from app.modalities.base import DatasetFile
from app.modalities.tabular import TabularPreprocessing
from app.networks.mlp import MlpParams
from app.preprocessing.fitted_columns import NumberColumn
from tests.support import factories
from tests.support.dataset_reading import dataset

TABULAR = MODALITIES["tabular"]
ROWS = 400
RNG = np.random.default_rng(0)


def upload(folder: Path, values: Any, **options: Any) -> DatasetFile:
    rows = [[value, "ab"[number % 2]] for number, value in enumerate(values)]
    return dataset(folder, "a.csv", factories.csv_bytes(["x", "label"], rows), "tabular", **options)


def fitted_column(file: DatasetFile, folder: Path) -> NumberColumn:
    fitted = TABULAR.fit(TABULAR.chunks(file), [], MlpParams(), None, folder)
    assert isinstance(fitted, TabularPreprocessing)
    (column,) = fitted.numbers
    return column


def with_value(values: np.ndarray[Any, Any], value: float, share: float = 0.02) -> np.ndarray[Any, Any]:
    values = values.copy()
    values[RNG.permutation(len(values))[: int(share * len(values))]] = value
    return values


@pytest.mark.parametrize(
    ("values", "sentinel"),
    [
        (RNG.normal(0, 1, ROWS), -9999),
        (RNG.normal(0, 1, ROWS), -999.25),
        (RNG.uniform(-20, 40, ROWS), -99),
        (RNG.integers(0, 150, ROWS), -99),
        (RNG.integers(18, 95, ROWS), 999),
        (RNG.integers(1, 6, ROWS), 9999),
        (RNG.uniform(0, 200_000, ROWS), -9999),
    ],
)
def test_sentinel_is_missing_with_a_warning(tmp_path: Path, values: np.ndarray[Any, Any], sentinel: float) -> None:
    file = upload(tmp_path, with_value(values.astype(float), sentinel))
    (described,) = file.details["columns"]
    assert (described["sentinels"], described["missing"]) == ([sentinel], 8)
    (warning,) = file.details["warnings"]
    assert warning["code"] == "sentinel_values"
    assert "options.missing" in warning["message"]
    frame = pl.concat([chunk.inputs for chunk in TABULAR.chunks(file)])
    assert frame["x"].null_count() == 8
    column = fitted_column(file, tmp_path)
    assert column.missing == (sentinel,)
    assert column.std == pytest.approx(values.std(), rel=0.1)


@pytest.mark.parametrize(
    "values",
    [
        np.minimum(RNG.exponential(300, ROWS).round(), 999),
        RNG.integers(0, 1001, ROWS),
        np.repeat([0, 999], 200),
        np.append(RNG.normal(0, 1, ROWS), -9999),
        with_value(RNG.uniform(-2000, 2000, ROWS), -999),
    ],
    ids=["counts up to 999", "counts beyond 999", "two values", "one occurrence", "inside the range"],
)
def test_ordinary_number_is_no_sentinel(tmp_path: Path, values: np.ndarray[Any, Any]) -> None:
    file = upload(tmp_path, values)
    assert "sentinels" not in file.details["columns"][0]
    assert "warnings" not in file.details


def test_option_names_the_missing_values_instead(tmp_path: Path) -> None:
    values = with_value(RNG.normal(0, 1, ROWS), -9999)
    kept = upload(tmp_path, values, missing=[])
    assert kept.details["columns"][0]["missing"] == 0
    named = upload(tmp_path, [*values.tolist(), "n.d.", -5.0, "NA"], missing=["n.d.", -5, "NA"])
    assert named.details["columns"][0]["missing"] == 3
    assert "warnings" not in named.details
    assert [chunk.inputs["x"].null_count() for chunk in TABULAR.chunks(named)] == [3]


def test_few_outliers_do_not_set_the_scale(tmp_path: Path) -> None:
    values = with_value(RNG.normal(5, 2, ROWS), 77_777, share=0.01)
    column = fitted_column(upload(tmp_path, values), tmp_path)
    assert column.mean == pytest.approx(5, abs=0.5)
    assert column.std == pytest.approx(2, rel=0.5)


def test_scale_without_outliers_is_exact(tmp_path: Path) -> None:
    values = RNG.normal(5, 2, ROWS)
    column = fitted_column(upload(tmp_path, values), tmp_path)
    assert column.mean == pytest.approx(values.mean(), rel=1e-9)
    assert column.std == pytest.approx(values.std(), rel=1e-9)
