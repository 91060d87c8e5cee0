"""Tables from upload to arrays."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from app.errors import InvalidDataset, InvalidInputs
from app.formats import parquet
from app.modalities import MODALITIES
from app.modalities.tabular import TabularPreprocessing
from app.networks.mlp import MlpParams
from app.preprocessing.fitted_columns import CategoryColumn, NumberColumn, UnusedColumn
from tests.support import factories
from tests.support.dataset_reading import checked, dataset, joined, labels

TABULAR = MODALITIES["tabular"]
SOURCE = factories.csv_bytes(
    ["age", "sex", "empty", "label"], [[40, "m", "", "no"], [50, "f", "", "yes"], ["", "", "", "no"], [" 60 ", " f ", "", "yes"]]
)
TARGET = factories.csv_bytes(["empty", "sex", "age"], [[1, "x", 70], [2, "m", ""]])


def parquet_bytes(frame: pl.DataFrame, **options: Any) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, **options)
    return buffer.getvalue()


def fit(tmp_path: Path, source: bytes = SOURCE, target: bytes = TARGET) -> TabularPreprocessing:
    files = [dataset(tmp_path, name, content, "tabular") for name, content in (("source.csv", source), ("target.csv", target))]
    fitted = TABULAR.fit(TABULAR.chunks(files[0]), TABULAR.chunks(files[1]), MlpParams(), None, tmp_path)
    return TabularPreprocessing.model_validate_json(fitted.model_dump_json())  # as it comes out of a manifest


def test_numbers_are_fitted_on_the_source_levels_on_both(tmp_path: Path) -> None:
    assert fit(tmp_path).columns == (
        NumberColumn(name="age", mean=50.0, std=float(np.std([40, 50, 60]))),
        CategoryColumn(name="sex", levels=("f", "m", "x")),
        UnusedColumn(name="empty"),
    )


def test_std_of_a_constant_is_one(tmp_path: Path) -> None:
    rows = [[7, "a"], [7, "b"]]
    (column,) = fit(tmp_path, factories.csv_bytes(["x", "label"], rows), factories.csv_bytes(["x"], [[1]])).columns
    assert column == NumberColumn(name="x", mean=7.0, std=1.0)


def test_std_of_an_inexact_constant_is_one(tmp_path: Path) -> None:
    rows = [[0.1, label] for label in "ab" * 45]
    (column,) = fit(tmp_path, factories.csv_bytes(["x", "label"], rows), factories.csv_bytes(["x"], [[1]])).columns
    assert isinstance(column, NumberColumn)
    assert column.std == 1


def test_float32_is_encoded_unchanged_and_fitted_in_float64(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(1000, 1, (5001, 3)).astype(np.float32)
    rows = pl.DataFrame(numbers, ["a", "b", "c"]).with_columns(b=pl.when(pl.int_range(5001) != 2500).then("b"))
    numbers[2500, 1] = np.nan
    file = dataset(tmp_path, "rows.parquet", parquet_bytes(rows), "tabular")
    fitted = TABULAR.fit(TABULAR.chunks(file), [], MlpParams(), None, tmp_path)
    assert isinstance(fitted, TabularPreprocessing)
    means = [column.mean for column in fitted.numbers]
    np.testing.assert_allclose(means, np.nanmean(numbers, axis=0, dtype=np.float64), rtol=1e-12)
    encode = TABULAR.encoder(fitted, tmp_path)
    (chunk,) = TABULAR.chunks(file, 6000)
    encoded = encode(chunk.inputs)["numbers"]
    assert encoded.dtype == np.float32
    assert encoded.flags.c_contiguous
    np.testing.assert_array_equal(encoded, numbers)
    same = encode(chunk.inputs.cast(pl.Float64))["numbers"]
    np.testing.assert_array_equal(same, numbers)


def test_columns_are_matched_by_name_and_missing_cells_marked(tmp_path: Path) -> None:
    fitted = fit(tmp_path)
    target = dataset(tmp_path, "target.csv", TARGET, "tabular")
    encode = TABULAR.encoder(fitted, tmp_path)
    (chunk,) = TABULAR.chunks(target)
    encoded = encode(chunk.inputs)
    np.testing.assert_array_equal(encoded["numbers"], np.array([[70], [np.nan]], np.float32))
    np.testing.assert_array_equal(encoded["categories"], [[3], [2]])
    for name, spec in TABULAR.specs(fitted).items():
        assert (encoded[name].dtype.name, encoded[name].shape[1:]) == (spec.dtype, spec.shape)


def test_mean_and_std_do_not_depend_on_chunk_size(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(1e6, 3, 1000)
    rows = [[value, "ab"[n % 2]] for n, value in enumerate(values)]
    file = dataset(tmp_path, "a.csv", factories.csv_bytes(["x", "label"], rows), "tabular")
    for size in (7, 1000):
        (column,) = TABULAR.fit(TABULAR.chunks(file, size), [], MlpParams(), None, tmp_path).columns  # type: ignore[attr-defined]
        assert column.mean == pytest.approx(values.mean(), rel=1e-12)
        assert column.std == pytest.approx(values.std(), rel=1e-9)


def test_chunks_have_the_requested_size_and_every_row_once(tmp_path: Path) -> None:
    rows = [[n, "ab"[n % 2]] for n in range(100)]
    file = dataset(tmp_path, "a.csv", factories.csv_bytes(["x", "label"], rows), "tabular")
    chunks = list(TABULAR.chunks(file, 30))
    assert [chunk.rows for chunk in chunks] == [30, 30, 30, 10]
    assert labels(chunks) == ["a", "b"] * 50
    assert pl.concat([chunk.inputs for chunk in chunks])["x"].to_list() == list(range(100))


def test_csv_and_parquet_of_the_same_table_are_equal(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "whole": [1, 2, None],
            "part": [0.5, None, 2.0],
            "word": ["a", None, "b"],
            "flag": [True, False, None],
            "label": [1, 0, 1],
        }
    )
    files = [
        dataset(tmp_path, "a.csv", frame.write_csv().encode(), "tabular"),
        dataset(tmp_path, "a.parquet", parquet_bytes(frame), "tabular"),
        dataset(tmp_path, "b.parquet", parquet_bytes(frame.with_columns(pl.col("label").cast(pl.Float64))), "tabular"),
    ]
    read = [list(TABULAR.chunks(file)) for file in files]
    assert files[0].details["columns"] == files[1].details["columns"] == files[2].details["columns"]
    assert [labels(chunks) for chunks in read] == [["1", "0", "1"]] * 3
    assert all(chunks[0].inputs.equals(read[0][0].inputs) for chunks in read)


def test_parquet_is_read_in_blocks_across_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "BLOCK_BYTES", 20_000)
    frame = pl.DataFrame({"x": np.arange(10_000.0), "label": ["a", "b"] * 5000})
    file = dataset(tmp_path, "a.parquet", parquet_bytes(frame, row_group_size=777), "tabular")
    chunks = list(TABULAR.chunks(file))
    assert pl.concat([chunk.inputs for chunk in chunks])["x"].to_list() == list(range(10_000))
    assert labels(chunks) == ["a", "b"] * 5000


@pytest.mark.parametrize(
    ("frame", "pointer", "message"),
    [
        (pl.DataFrame({"x": [float("inf"), 1.0], "label": ["a", "b"]}), "/rows/1/x", "not a finite"),
        (pl.DataFrame({"x": [[1], [2]], "label": ["a", "b"]}), "/columns/x", "List"),
        (pl.DataFrame({"x": [1], "label": ["a"]}).clear(), "/file", "no rows"),
    ],
)
def test_invalid_parquet_is_rejected_with_a_pointer(tmp_path: Path, frame: pl.DataFrame, pointer: str, message: str) -> None:
    with pytest.raises(InvalidDataset) as caught:
        dataset(tmp_path, "a.parquet", parquet_bytes(frame), "tabular")
    assert caught.value.errors[0].pointer == pointer
    assert message in caught.value.errors[0].detail


def test_damaged_parquet_is_rejected(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": np.arange(1000.0), "word": ["a", "b"] * 500, "label": ["a", "b"] * 500})
    content = parquet_bytes(frame)
    for cut in (10, len(content) // 2, len(content) - 9):
        with pytest.raises(InvalidDataset, match="not a readable parquet"):
            dataset(tmp_path, "a.parquet", content[:cut], "tabular")


def test_numeric_codes_can_be_categories(tmp_path: Path) -> None:
    content = factories.csv_bytes(["code", "label"], [["1.0", "a"], ["2", "b"], ["x", "b"], ["inf", "a"]])
    file = dataset(tmp_path, "a.csv", content, "tabular", categories=["code"])
    (column,) = TABULAR.fit(TABULAR.chunks(file), [], MlpParams(), None, tmp_path).columns  # type: ignore[attr-defined]
    assert column == CategoryColumn(name="code", levels=("1", "2", "inf", "x"))


def test_label_column_can_have_any_name(tmp_path: Path) -> None:
    file = dataset(tmp_path, "a.csv", factories.csv_bytes(["x", "y"], [[1, "a"], [2, "b"]]), "tabular", label="y")
    assert labels(list(TABULAR.chunks(file))) == ["a", "b"]


def test_rows_by_name_and_by_order_are_encoded_equally(tmp_path: Path) -> None:
    fitted = fit(tmp_path)
    rows = TABULAR.parse([{"sex": "f", "age": 44, "empty": None}, [44, "f", None], [None, True, 3]], fitted)
    encoded = TABULAR.encoder(fitted, tmp_path)(rows)
    np.testing.assert_array_equal(encoded["numbers"], np.array([[44], [44], [np.nan]], np.float32))
    np.testing.assert_array_equal(encoded["categories"], [[1], [1], [0]])


@pytest.mark.parametrize(
    ("value", "pointer", "message"),
    [
        ([1, "f"], "/inputs/1", "expected an object by column name or an array of 3 values"),
        ("text", "/inputs/1", "expected an object"),
        (None, "/inputs/1", "expected an object"),
        ({"age": 1, "empty": None}, "/inputs/1/sex", "missing"),
        ({"age": 1, "sex": "f", "empty": None, "height/width": 3}, "/inputs/1/height~1width", "no such column"),
        (["old", "f", None], "/inputs/1/0", "expected a number"),
        ([True, "f", None], "/inputs/1/0", "expected a number"),
        ([float("nan"), "f", None], "/inputs/1/0", "finite"),
        ([10**400, "f", None], "/inputs/1/0", "finite"),
        ([1, ["f"], None], "/inputs/1/1", "expected a string"),
        ([1, "\ud800", None], "/inputs/1/1", "expected a string"),
    ],
)
def test_invalid_rows_of_a_prediction_are_reported_by_pointer(tmp_path: Path, value: object, pointer: str, message: str) -> None:
    with pytest.raises(InvalidInputs) as caught:
        TABULAR.parse([[1, "f", None], value], fit(tmp_path))
    assert [error.pointer for error in caught.value.errors] == [pointer]
    assert message in caught.value.errors[0].detail


def test_real_table_keeps_its_missing_values(tmp_path: Path, shared_data: Path) -> None:
    source, target = (
        checked(shared_data / "tabular" / f"heart_{name}.csv", "tabular", "csv")
        for name in ("cleveland_labelled", "hungarian_unlabelled")
    )
    fitted = TABULAR.fit(TABULAR.chunks(source), TABULAR.chunks(target), MlpParams(), None, tmp_path)
    encode = TABULAR.encoder(fitted, tmp_path)
    numbers = joined([encode(chunk.inputs) for chunk in TABULAR.chunks(target)])["numbers"]
    expected = pl.read_csv(target.path, infer_schema_length=None).cast(pl.Float32).to_numpy()
    np.testing.assert_array_equal(numbers, expected)
    assert np.isnan(numbers).mean() > 0.1
