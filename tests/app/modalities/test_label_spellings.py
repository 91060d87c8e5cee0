"""Names and labels of real files: each spelling is one class, and a column of empty marks is no label."""

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from app.errors import InvalidDataset
from app.modalities import MODALITIES
from app.modalities.base import DatasetFile
from app.modalities.tabular import TabularPreprocessing
from app.networks.mlp import MlpParams
from tests.support import factories
from tests.support.dataset_reading import checked, dataset, labels

TABULAR, IMAGE = MODALITIES["tabular"], MODALITIES["image"]
PIXELS = np.zeros((4, 2, 2), np.uint8)


def classes(folder: Path, filename: str, content: bytes, modality: str, **options: object) -> dict[str, int] | None:
    path = factories.write(folder, filename, content)
    kind = MODALITIES[modality]
    format = kind.suffixes["." + filename.partition(".")[2]]
    return kind.check(path, format, kind.options.model_validate(options)).classes


def csv(labels: list[str]) -> bytes:
    return factories.csv_bytes(["x", "label"], [[number, label] for number, label in enumerate(labels)])


def parquet_bytes(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [
        (["True", "False", "true", "FALSE"], {"false": 2, "true": 2}),
        (["café", "cafe\u0301", "thé", "the\u0301"], {"café": 2, "thé": 2}),
        (["1.0", "1", "2", "2.0"], {"1": 2, "2": 2}),
        (["01", "1", "01", "1"], {"01": 2, "1": 2}),
        (["a", "a\N{NO-BREAK SPACE}", "\N{ZERO WIDTH SPACE}b", "b"], {"a": 2, "b": 2}),
    ],
)
def test_spellings_of_a_label_are_one_class_in_every_format(tmp_path: Path, spelled: list[str], expected: dict[str, int]) -> None:
    records = [{"text": f"word {number}", "label": label} for number, label in enumerate(spelled)]
    frame = pl.DataFrame({"x": [1, 2, 3, 4], "label": spelled})
    assert classes(tmp_path, "a.csv", csv(spelled), "tabular") == expected
    assert classes(tmp_path, "a.parquet", parquet_bytes(frame), "tabular") == expected
    assert classes(tmp_path, "a.jsonl", factories.jsonl_bytes(records), "text") == expected
    assert classes(tmp_path, "a.npz", factories.npz_bytes(x=PIXELS, y=np.array(spelled)), "image") == expected
    folders = {f"{label}/{number}.png": factories.image_bytes() for number, label in enumerate(spelled)}
    assert classes(tmp_path, "a.zip", factories.zip_bytes(folders), "image") == expected


@pytest.mark.parametrize("mark", ["", "-1", "?", "NaN", "-1.0"])
def test_a_label_column_of_one_empty_mark_makes_an_unlabelled_dataset(tmp_path: Path, mark: str) -> None:
    file = dataset(tmp_path, "a.csv", csv([mark] * 4), "tabular")
    assert not file.labelled
    assert [chunk.labels for chunk in TABULAR.chunks(file)] == [None]
    assert TABULAR.preview(file, [0]) == [{"x": 0.0}]
    rows = factories.csv_bytes(["text", "label"], [[f"word {number}", mark] for number in range(4)])
    text = dataset(tmp_path, "b.csv", rows, "text")
    assert not text.labelled
    assert [chunk.labels for chunk in MODALITIES["text"].chunks(text)] == [None]


@pytest.mark.parametrize("y", [np.full(4, -1), np.array(["", " ", "", ""]), np.full((4, 1), -1)])
def test_an_npz_of_empty_marks_is_unlabelled(tmp_path: Path, y: np.ndarray) -> None:
    file = dataset(tmp_path, "a.npz", factories.npz_bytes(x=PIXELS, y=y), "image")
    assert not file.labelled
    assert [chunk.labels for chunk in IMAGE.chunks(file)] == [None]
    assert "label" not in IMAGE.preview(file, [0])[0]


def test_minus_one_among_other_labels_is_a_class(tmp_path: Path) -> None:
    assert classes(tmp_path, "a.csv", csv(["-1", "1", "1", "-1"]), "tabular") == {"-1": 2, "1": 2}


def test_one_class_is_enough_for_an_evaluation(tmp_path: Path) -> None:
    assert classes(tmp_path, "a.csv", csv(["broken"] * 3), "tabular") == {"broken": 3}


def test_an_npz_label_without_a_name_is_no_label(tmp_path: Path) -> None:
    content = factories.npz_bytes(x=PIXELS, y=np.array(["a", "a ", "", "b"]))
    file = dataset(tmp_path, "a.npz", content, "image")
    assert labels(list(IMAGE.chunks(file))) == ["a", "a", "", "b"]
    assert [warning["code"] for warning in file.details["warnings"]] == ["partly_labelled"]


def test_npz_labels_may_be_a_column_of_whole_floats(tmp_path: Path) -> None:
    content = factories.npz_bytes(x=PIXELS, y=np.array([[0.0], [1.0], [0.0], [1.0]]))
    assert classes(tmp_path, "a.npz", content, "image") == {"0": 2, "1": 2}


@pytest.mark.parametrize("empty", ["", "  ", "\N{NO-BREAK SPACE}"])
def test_a_blank_text_is_reported_in_every_format(tmp_path: Path, empty: str) -> None:
    rows = [["good", "a"], [empty, "b"]]
    records = [{"text": text, "label": label} for text, label in rows]
    for filename, content in (
        ("a.csv", factories.csv_bytes(["text", "label"], rows)),
        ("a.jsonl", factories.jsonl_bytes(records)),
        ("a.parquet", parquet_bytes(pl.DataFrame(records))),
    ):
        with pytest.raises(InvalidDataset, match="row 2 has no text"):
            classes(tmp_path, filename, content, "text")


def test_floats_and_booleans_are_labels_of_json_lines(tmp_path: Path) -> None:
    records = [{"text": "a", "label": 1.0}, {"text": "b", "label": 0.0}, {"text": "c", "label": 1}]
    assert classes(tmp_path, "a.jsonl", factories.jsonl_bytes(records), "text") == {"0": 1, "1": 2}
    records = [{"text": "a", "label": True}, {"text": "b", "label": False}]
    assert classes(tmp_path, "a.jsonl", factories.jsonl_bytes(records), "text") == {"false": 1, "true": 1}


def encoded(fitted: TabularPreprocessing, folder: Path, *rows: object) -> list[int]:
    """Encode rows as the service does, whichever way takes them."""
    frame = TABULAR.parse(rows, fitted)
    return list(TABULAR.encoder(fitted, folder)(frame)["categories"][:, 0].tolist())


def fit(source: DatasetFile, target: DatasetFile, folder: Path) -> TabularPreprocessing:
    fitted = TABULAR.fit(TABULAR.chunks(source), TABULAR.chunks(target), MlpParams(), None, folder)
    assert isinstance(fitted, TabularPreprocessing)
    return fitted


def test_booleans_of_csv_parquet_and_predictions_are_the_same_levels(tmp_path: Path) -> None:
    source = dataset(tmp_path, "a.csv", factories.csv_bytes(["on", "label"], [["True", "a"], ["False", "b"]]), "tabular")
    target = dataset(tmp_path, "b.parquet", parquet_bytes(pl.DataFrame({"on": [True, False]})), "tabular")
    fitted = fit(source, target, tmp_path)
    assert fitted.categories[0].levels == ("false", "true")
    assert encoded(fitted, tmp_path, [True], ["TRUE"], {"on\u200b": "true "}, [False], [None]) == [2, 2, 2, 1, 0]


def test_codes_without_their_zeros_are_found(tmp_path: Path) -> None:
    source = factories.csv_bytes(["code", "label"], [["01", "a"], ["02", "b"], ["10", "b"]])
    file = dataset(tmp_path, "a.csv", source, "tabular", categories=["code"])
    assert encoded(fit(file, file, tmp_path), tmp_path, ["01"], [1], ["10"], [2.0], ["3"]) == [1, 1, 3, 2, 0]


def test_column_names_are_canonical_in_every_format(tmp_path: Path) -> None:
    source = factories.csv_bytes(["e\u0301tat\N{NO-BREAK SPACE}", "label"], [[1, "a"], [2, "b"]])
    target = parquet_bytes(pl.DataFrame({" état": [3, 4]}))
    for filename, content in (("a.csv", source), ("b.parquet", target)):
        file = dataset(tmp_path, filename, content, "tabular")
        assert [chunk.inputs.columns for chunk in TABULAR.chunks(file)] == [["état"]]


CASES = {
    "bool-csv-vs-parquet/source.csv": None,
    "label-bool-spelling/source.csv": {"false", "true"},
    "label-bool-spelling/evaluation.csv": {"false", "true"},
    "evaluation-one-class/evaluation.csv": {"worn"},
    "target-empty-label-column/target.csv": set(),
    "target-minus-one/target.csv": set(),
}


@pytest.mark.parametrize(("name", "expected"), CASES.items())
def test_tables_of_the_cases_have_the_expected_classes(shared_cases: Path, name: str, expected: set[str] | None) -> None:
    path = shared_cases / name
    profile = TABULAR.check(path, path.suffix[1:], TABULAR.options())
    assert expected is None or set(profile.classes or ()) == expected


def test_cases_of_two_spellings_are_one_class(shared_cases: Path) -> None:
    source, evaluation = (
        TABULAR.check(shared_cases / "label-nfc-nfd" / f"{name}.csv", "csv", TABULAR.options())
        for name in ("source", "evaluation")
    )
    assert set(evaluation.classes or ()) <= set(source.classes or ())
    images = {
        "zip-two-spellings": ("source.zip", "zip", 2),
        "folder-trailing-space": ("source.zip", "zip", 2),
        "npz-y-column": ("source.npz", "npz", 3),
    }
    for name, (filename, format, count) in images.items():
        found = IMAGE.check(shared_cases / name / filename, format, IMAGE.options()).classes or {}
        assert len(found) == count
        assert all(label == label.strip() for label in found)


def test_cases_without_a_usable_label_are_reported(shared_cases: Path) -> None:
    partly = checked(shared_cases / "npz-label-space-and-empty" / "source.npz", "image", "npz")
    assert [warning["code"] for warning in partly.details["warnings"]] == ["partly_labelled"]
    with pytest.raises(InvalidDataset, match="201 characters"):
        checked(shared_cases / "label-too-long" / "source.csv", "tabular", "csv")
    for filename in ("source.csv", "source.jsonl"):
        with pytest.raises(InvalidDataset, match="has no text"):
            checked(shared_cases / "text-empty-csv-vs-jsonl" / filename, "text", filename.partition(".")[2])
    labelled = checked(shared_cases / "jsonl-label-float" / "source.jsonl", "text", "jsonl")
    assert set(labels(list(MODALITIES["text"].chunks(labelled)))) == {"0", "1"}
