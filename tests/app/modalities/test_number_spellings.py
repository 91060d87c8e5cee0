"""Numbers as people and tools write them: each spelling is a number, never silently a category."""

import io
from pathlib import Path

import polars as pl
import pytest

from app.modalities import MODALITIES
from tests.support import factories
from tests.support.dataset_reading import checked, dataset

TABULAR = MODALITIES["tabular"]


def column(folder: Path, cells: list[str]) -> tuple[str, list[object]]:
    """Return the kind and the values of one column of a CSV file, between quotes."""
    content = "x,label\n" + "".join(f'"{cell}",{"ab"[number % 2]}\n' for number, cell in enumerate(cells))
    file = dataset(folder, "a.csv", content.encode(), "tabular")
    return file.details["columns"][0]["kind"], [value for chunk in TABULAR.chunks(file) for value in chunk.inputs["x"]]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["0,5", "-1,25", "3"], [0.5, -1.25, 3]),
        (["1.234,50", "12", "1.000.000,5"], [1234.5, 12, 1000000.5]),
        (["1,234.50", "12.5", "-1,000,000"], [1234.5, 12.5, -1000000]),
        (["1 234,5", "1\N{NO-BREAK SPACE}000,5", "2,5"], [1234.5, 1000.5, 2.5]),
        (["1'234.5", "12", "3"], [1234.5, 12, 3]),
        (["12.5%", "-3 %", "100%"], [0.125, -0.03, 1]),
        (["$1,200", "-$5", "$ 3.50"], [1200, -5, 3.5]),
        (["5 €", "1.200,50 €", "7,5 €"], [5, 1200.5, 7.5]),
        (["\N{MINUS SIGN}1.5", "2", "3"], [-1.5, 2, 3]),
        (["1", "NA", "n/a", "NaN", "null", "-", "?", " "], [1, *[None] * 7]),
    ],
)
def test_a_column_of_one_spelling_is_of_numbers(tmp_path: Path, cells: list[str], expected: list[float]) -> None:
    kind, values = column(tmp_path, cells)
    assert kind == "number"
    assert values == pytest.approx(expected)


def test_zeros_in_front_make_codes(tmp_path: Path) -> None:
    assert column(tmp_path, ["01", "02", "10"]) == ("category", ["01", "02", "10"])
    assert column(tmp_path, ["0", "0.5", "10"])[0] == "number"


def test_words_for_missing_values_are_no_levels(tmp_path: Path) -> None:
    assert column(tmp_path, ["red", "NA", "blue", "n/a"]) == ("category", ["red", None, "blue", None])


def test_nan_of_parquet_is_missing(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    nan = float("nan")
    frame = pl.DataFrame({"x": [1.0, nan, 3.0], "y": pl.Series([nan, 2, 3], dtype=pl.Float32), "label": ["a", "b", "a"]})
    frame.write_parquet(buffer)
    file = dataset(tmp_path, "a.parquet", buffer.getvalue(), "tabular")
    assert [one["missing"] for one in file.details["columns"]] == [1, 1]
    (chunk,) = TABULAR.chunks(file)
    assert chunk.inputs.rows() == [(1, None), (None, 2), (3, 3)]


@pytest.mark.parametrize("name", ["Label", "LABEL", "label "])
def test_a_label_column_may_differ_in_case(tmp_path: Path, name: str) -> None:
    table = factories.csv_bytes(["x", name], [[1, "a"], [2, "b"]])
    assert checked(factories.write(tmp_path, "a.csv", table), "tabular", "csv").labelled
    texts = factories.csv_bytes(["text", name], [["so", "a"], ["no", "b"]])
    assert checked(factories.write(tmp_path, "b.csv", texts), "text", "csv").labelled


@pytest.mark.parametrize(
    "name",
    ["num-decimal-comma", "num-percent", "num-thousands", "num-thousands-mixed", "parquet-nan", "csv-label-capital"],
)
def test_cases_are_labelled_tables_of_numbers(shared_cases: Path, name: str) -> None:
    (path,) = (shared_cases / name).glob("source.*")
    file = checked(path, "tabular", path.suffix[1:])
    assert file.labelled
    assert {one["kind"] for one in file.details["columns"]} == {"number"}


def test_the_case_of_codes_is_a_category(shared_cases: Path) -> None:
    file = checked(shared_cases / "codes-zero-padded" / "source.csv", "tabular", "csv")
    assert [one["kind"] for one in file.details["columns"]] == ["category", "number"]
