"""Uploads of files that were once misinterpreted: the right classes, or a warning or an error that names the remedy."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

CONDITIONS = {"broken", "ok", "worn"}
LETTERS = {"x", "y"}
SHAPES = {"cross", "disc", "square"}
UNLABELLED: set[str] = set()


@dataclass(frozen=True)
class Read:
    """What an upload that is accepted reports."""

    modality: str
    classes: set[str]
    warnings: tuple[str, ...] = ()


def table(classes: set[str], *warnings: str) -> Read:
    return Read("tabular", classes, warnings)


def texts(classes: set[str]) -> Read:
    return Read("text", classes)


def images(classes: set[str], *warnings: str) -> Read:
    return Read("image", classes, warnings)


READ = {
    "bool-csv-vs-parquet/source.csv": table({"ill", "well"}),
    "bool-csv-vs-parquet/target.parquet": table(UNLABELLED),
    "codes-zero-padded/source.csv": table(CONDITIONS),
    "codes-zero-padded/predict.parquet": table(UNLABELLED),
    "col-id/source.csv": table(CONDITIONS, "identifier"),
    "col-parquet-index-level/source.parquet": table({"bad", "good"}, "index_column"),
    "col-timestamps/source.csv": table(CONDITIONS, "timestamp"),
    "col-unnamed-index/source.csv": table(CONDITIONS, "row_counter"),
    "csv-cr-only/source.csv": table(LETTERS),
    "csv-double-bom/source.csv": table({"0", "1"}),
    "csv-label-capital/source.csv": table(LETTERS),
    "csv-sep-line/source.csv": table(LETTERS),
    "csv-space-before-quote/source.csv": texts({"n", "p"}),
    "csv-utf16/source.csv": table(LETTERS),
    "evaluation-one-class/source.csv": table(CONDITIONS),
    "evaluation-one-class/evaluation.csv": table({"worn"}),
    "folder-trailing-space/source.zip": images({"cat", "dog"}),
    "jsonl-label-float/source.jsonl": texts({"0", "1"}),
    "jsonl-tabular/source.jsonl": table({"0", "1"}),
    "label-bool-spelling/source.csv": table({"false", "true"}),
    "label-bool-spelling/evaluation.csv": table({"false", "true"}),
    "label-nfc-nfd/source.csv": table({"caf\u00e9", "eau", "th\u00e9"}),
    "label-nfc-nfd/evaluation.csv": table({"caf\u00e9", "eau", "th\u00e9"}),
    "npz-label-space-and-empty/source.npz": images({"a"}, "partly_labelled"),
    "npz-y-column/source.npz": images({"0", "1", "2"}),
    "num-decimal-comma/source.csv": table(CONDITIONS),
    "num-percent/source.csv": table(CONDITIONS),
    "num-sentinel/source.csv": table(CONDITIONS, "sentinel_values"),
    "num-thousands/source.csv": table(CONDITIONS),
    "num-thousands-mixed/source.csv": table(CONDITIONS),
    "parquet-nan/source.parquet": table({"bad", "good"}),
    "pic-12bit-low-contrast/source.zip": images(SHAPES),
    "pic-ink-in-alpha/source.zip": images(SHAPES),
    "pic-jfif/source.zip": images({"cat", "dog"}),
    "pic-tiff-float01/source.zip": images(SHAPES),
    "pic-tiff-int16-ct/source.zip": images(SHAPES),
    "target-empty-label-column/target.csv": table(UNLABELLED),
    "target-minus-one/target.csv": table(UNLABELLED),
    "target-minus-one/target.npz": images(UNLABELLED),
    "text-chinese/source.jsonl": texts({"neg", "pos"}),
    "text-nfd/source.jsonl": texts({"neg", "pos"}),
    "zip-gbk-names/source.zip": images({"\u6545\u969c", "\u6b63\u5e38"}, "guessed_name_encoding"),
    "zip-gbk-names/evaluation.zip": images({"\u6545\u969c", "\u6b63\u5e38"}),
    "zip-macos-icon/source.zip": images({"cat", "dog"}),
    "zip-macos-utf8-names/source.zip": images({"caf\u00e9", "na\u00eff"}),
    "zip-macos-utf8-names/evaluation.zip": images({"caf\u00e9", "na\u00eff"}),
    "zip-two-spellings/source.zip": images({"caf\u00e9", "th\u00e9"}),
}
REJECTED = {
    "csv-no-header/source.csv": "set `options.header` to false",
    "csv-xlsx-inside/source.csv": "save the sheet as CSV",
    "label-too-long/source.csv": "at most 200 are accepted",
    "pic-empty-file/source.zip": "cat/9.png: empty",
    "pic-tiff-5-bands/source.zip": "accepted are 1 band (grey) or 3 bands (colour)",
    "text-empty-csv-vs-jsonl/source.csv": "row 13 has no text",
    "text-empty-csv-vs-jsonl/source.jsonl": "row 13 has no text",
}
PREDICTIONS = {"predict-base64-lines", "predict-gzip", "predict-unknown-level", "v2-messages"}
"""Cases without a dataset; `test_prediction_bodies` and `test_open_inference` have them."""


def upload(client: TestClient, path: Path, **options: object) -> Response:
    form = {"name": "data", "options": json.dumps(options)}
    return client.post("/datasets", data=form, files={"file": (path.name, path.read_bytes())})


def numbers(body: dict[str, Any]) -> set[str]:
    return {column["name"] for column in body["interpretation"]["columns"] if column["kind"] == "number"}


def test_every_case_is_expected_here(shared_cases: Path) -> None:
    folders = {path.name for path in shared_cases.iterdir() if path.is_dir() and not path.name.startswith("_")}
    assert folders == {name.partition("/")[0] for name in READ | REJECTED} | PREDICTIONS


@pytest.mark.parametrize("name", READ)
def test_file_is_read_correctly(client: TestClient, shared_cases: Path, name: str) -> None:
    answer = upload(client, shared_cases / name)
    assert answer.status_code == 201, answer.text
    body, expected = answer.json(), READ[name]
    assert (body["modality"], set(body["classes"] or ())) == (expected.modality, expected.classes)
    assert {warning["code"] for warning in body["warnings"]} == set(expected.warnings)


@pytest.mark.parametrize("name", REJECTED)
def test_rejection_has_a_pointer_and_a_remedy(client: TestClient, shared_cases: Path, name: str) -> None:
    answer = upload(client, shared_cases / name)
    assert answer.status_code == 422, answer.text
    errors = answer.json()["errors"]
    assert errors[0]["pointer"]
    assert REJECTED[name] in errors[0]["detail"]


@pytest.mark.parametrize("case", ["num-decimal-comma", "num-percent", "num-thousands", "num-thousands-mixed", "num-sentinel"])
def test_spelled_numbers_are_numbers(client: TestClient, shared_cases: Path, case: str) -> None:
    body = upload(client, shared_cases / case / "source.csv").json()
    assert numbers(body) == {f"f{number}" for number in range(6)}


def test_table_without_header_is_read_with_the_named_option(client: TestClient, shared_cases: Path) -> None:
    answer = upload(client, shared_cases / "csv-no-header/source.csv", header=False, label="column_3")
    assert answer.status_code == 201, answer.text
    assert set(answer.json()["classes"]) == LETTERS
