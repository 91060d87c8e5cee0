"""Columns that identify or order the rows are reported and not learned, in every format."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from app.errors import InvalidDataset
from app.modalities import MODALITIES
from app.modalities.base import DatasetFile
from app.modalities.tabular import TabularPreprocessing
from app.networks.mlp import MlpParams
from app.preprocessing.fitted_columns import UnusedColumn

TABULAR = MODALITIES["tabular"]
ROWS = 60
RNG = np.random.default_rng(0)
ROLES: dict[str, tuple[str, list[Any]]] = {
    "n": ("row_counter", list(range(7, 7 + ROWS))),
    "backwards": ("row_counter", list(range(ROWS, 0, -1))),
    "Unnamed: 0": ("index_column", RNG.permutation(ROWS).tolist()),
    "patient_id": ("identifier", (RNG.permutation(ROWS) * 17 + 100_000).tolist()),
    "serial": ("identifier", [f"R{number:06}" for number in range(ROWS)]),
    "note": ("free_text", [f"the {number}th visit of this person" for number in range(ROWS)]),
    "time": ("timestamp", [f"2024-05-01 08:{number:02}" for number in range(ROWS)]),
    "iso": ("timestamp", [f"2024-05-01T08:{number:02}:00.5+02:00" for number in range(ROWS)]),
    "day": ("timestamp", [f"{1 + number % 28}.05.2024" for number in range(ROWS)]),
}
ORDINARY: dict[str, list[Any]] = {
    "age": [20 + number % 50 for number in range(ROWS)],
    "x": RNG.normal(size=ROWS).tolist(),
    "count": RNG.permutation(ROWS).tolist(),
    "colour": ["red", "green", "blue"] * (ROWS // 3),
    "label": ["a", "b"] * (ROWS // 2),
}


def write(path: Path, columns: dict[str, list[Any]]) -> Path:
    frame = pl.DataFrame(columns)
    if path.suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)
    return path


def check(path: Path, **options: Any) -> DatasetFile:
    chosen = TABULAR.options.model_validate(options)
    profile = TABULAR.check(path, path.suffix[1:], chosen)
    return DatasetFile(path, path.suffix[1:], chosen, profile.classes is not None, profile.details)


def fit(source: DatasetFile, target: DatasetFile, folder: Path) -> TabularPreprocessing:
    fitted = TABULAR.fit(TABULAR.chunks(source), TABULAR.chunks(target), MlpParams(), None, folder)
    assert isinstance(fitted, TabularPreprocessing)
    return fitted


def roles(file: DatasetFile) -> dict[str, str]:
    return {column["name"]: column["role"] for column in file.details["columns"] if "role" in column}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("name", ROLES)
def test_column_is_reported_and_not_written_into_the_preprocessing(tmp_path: Path, name: str, suffix: str) -> None:
    role, values = ROLES[name]
    file = check(write(tmp_path / f"source.{suffix}", {name: values, **ORDINARY}))

    assert roles(file) == {name: role}
    (warning,) = file.details["warnings"]
    assert (warning["code"], warning["examples"]) == (role, [str(value) for value in values[:3]])
    assert ("options.texts" if role == "free_text" else "options.learn") in warning["message"]
    fitted = fit(file, file, tmp_path)
    assert fitted.columns[0] == UnusedColumn(name=name)
    assert not any(f'"{value}"' in fitted.model_dump_json() for value in values)


def test_option_learns_the_column(tmp_path: Path) -> None:
    path = write(tmp_path / "source.csv", {"serial": ROLES["serial"][1], "n": ROLES["n"][1], **ORDINARY})
    file = check(path, learn=["serial", "n"])
    assert (roles(file), "warnings" in file.details) == ({}, False)
    assert [column.kind for column in fit(file, file, tmp_path).columns][:2] == ["category", "number"]


def test_ignored_column_is_not_read(tmp_path: Path) -> None:
    mixed = ["unclear", *range(ROWS - 1)]
    path = write(tmp_path / "source.csv", {"mixed": list(map(str, mixed)), **ORDINARY})
    with pytest.raises(InvalidDataset):
        check(path)
    file = check(path, ignore=["mixed"])
    assert roles(file) == {"mixed": "ignored"}
    fitted = fit(file, file, tmp_path)
    assert [column.name for column in fitted.columns if column.kind == "unused"] == ["mixed"]
    without = {name: ORDINARY[name][0] for name in ORDINARY if name != "label"}
    for row in (without, without | {"mixed": "7"}):
        assert TABULAR.parse([row], fitted).height == 1


@pytest.mark.parametrize("option", ["ignore", "learn"])
def test_unknown_column_in_an_option_is_rejected(tmp_path: Path, option: str) -> None:
    with pytest.raises(InvalidDataset, match="there is no column"):
        check(write(tmp_path / "source.csv", ORDINARY), **{option: ["nothing"]})
    with pytest.raises(InvalidDataset, match="label"):
        check(write(tmp_path / "source.csv", ORDINARY), ignore=["label"])


@pytest.mark.parametrize("extra", ["source", "target"])
def test_other_dataset_may_lack_the_column(tmp_path: Path, extra: str) -> None:
    plain = check(write(tmp_path / "plain.csv", ORDINARY))
    counted = check(write(tmp_path / "counted.csv", {"n": ROLES["n"][1], **ORDINARY}))
    source, target = (counted, plain) if extra == "source" else (plain, counted)
    profiles = [TABULAR.check(file.path, "csv", file.options) for file in (source, target)]
    assert TABULAR.incompatibilities(*profiles) == []
    encode = TABULAR.encoder(fit(source, target, tmp_path), tmp_path)
    assert [len(encode(chunk.inputs)["numbers"]) for chunk in TABULAR.chunks(target)] == [ROWS]


def test_few_rows_and_single_columns_are_learned(tmp_path: Path) -> None:
    short = {name: values[:10] for name, values in {"n": ROLES["n"][1], **ORDINARY}.items()}
    assert roles(check(write(tmp_path / "short.csv", short))) == {}
    assert roles(check(write(tmp_path / "single.csv", {"n": ROLES["n"][1], "label": ORDINARY["label"]}))) == {}


def test_dates_of_parquet_are_timestamps(tmp_path: Path) -> None:
    days = pl.Series("day", range(ROWS)).cast(pl.Date)
    path = tmp_path / "source.parquet"
    pl.DataFrame(ORDINARY).with_columns(days, days.cast(pl.Datetime).alias("moment")).write_parquet(path)
    file = check(path)
    assert roles(file) == {"day": "timestamp", "moment": "timestamp"}
    assert fit(file, file, tmp_path).columns[-1].kind == "unused"


def test_index_of_pandas_is_read_from_the_metadata(tmp_path: Path) -> None:
    path = tmp_path / "source.parquet"
    frame = pl.DataFrame({"key": RNG.integers(0, 5, ROWS), **ORDINARY})
    frame.write_parquet(path, metadata={"pandas": '{"index_columns": ["key"]}'})
    assert roles(check(path)) == {"key": "index_column"}
    frame.write_parquet(path, metadata={"pandas": "not json"})
    assert roles(check(path)) == {}


CASES = {
    "col-id": {"machine_run": "identifier"},
    "col-parquet-index-level": {"__index_level_0__": "index_column"},
    "col-timestamps": {"time": "timestamp"},
    "col-unnamed-index": {"Unnamed: 0": "row_counter"},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("part", ["source", "target", "evaluation"])
def test_shared_case_is_reported(shared_cases: Path, case: str, part: str) -> None:
    (path,) = (shared_cases / case).glob(f"{part}.*")
    assert roles(check(path)) == CASES[case]


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize("labels", [[[0], [1], [1]], [0.0, 1.0, 1.0], [[0.0], [1.0], [1.0]], [["0"], ["1"], ["1"]]])
def test_labels_of_npz_may_be_a_column_or_whole_floats(tmp_path: Path, labels: Any) -> None:
    path = tmp_path / "images.npz"
    path.write_bytes(npz(x=np.zeros((3, 8, 8), np.uint8), y=np.array(labels)))
    image = MODALITIES["image"]
    assert image.check(path, "npz", image.options()).classes == {"0": 1, "1": 2}


@pytest.mark.parametrize("labels", [[[0, 1], [1, 0], [1, 0]]])
def test_other_labels_of_npz_are_rejected(tmp_path: Path, labels: Any) -> None:
    path = tmp_path / "images.npz"
    path.write_bytes(npz(x=np.zeros((3, 8, 8), np.uint8), y=np.array(labels)))
    image = MODALITIES["image"]
    with pytest.raises(InvalidDataset, match="y "):
        image.check(path, "npz", image.options())


@pytest.mark.parametrize("name", ["source", "evaluation"])
def test_shared_npz_is_accepted(shared_cases: Path, name: str) -> None:
    image = MODALITIES["image"]
    profile = image.check(shared_cases / "npz-y-column" / f"{name}.npz", "npz", image.options())
    assert sum((profile.classes or {}).values()) == profile.rows
