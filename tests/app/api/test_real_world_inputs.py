"""Tables as people export them: what a sender sees at the upload, at the check of a job and after a reinterpretation."""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from httpx2 import Response

from tests.support import factories
from tests.support.workbooks import xlsx_bytes

RNG = np.random.default_rng(0)
ROWS = 60
COLUMNS = {"x": RNG.normal(size=ROWS).round(3).tolist(), "colour": ["red", "blue", "green"] * 20, "label": ["a", "b"] * 30}


def csv(columns: Mapping[str, Sequence[object]] = COLUMNS, **more: Sequence[object]) -> bytes:
    table = {**columns, **more}
    return factories.csv_bytes(list(table), zip(*table.values(), strict=True))


def send(client: TestClient, content: bytes, filename: str = "a.csv", **options: object) -> Response:
    form = {"name": "data", "options": json.dumps(options)}
    return client.post("/datasets", data=form, files={"file": (filename, content)})


def upload(client: TestClient, content: bytes, filename: str = "a.csv", **options: object) -> dict[str, Any]:
    answer = send(client, content, filename, **options)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def column(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    (found,) = [one for one in body["interpretation"]["columns"] if one["name"] == name]
    return dict(found)


def codes(body: Mapping[str, Any]) -> list[str]:
    return [warning["code"] for warning in body["warnings"]]


@dataclass(frozen=True)
class Expected:
    """A table, and what its upload responds."""

    content: bytes
    filename: str = "a.csv"
    options: Mapping[str, Any] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    labelled: bool = True
    interpretation: Mapping[str, Any] = field(default_factory=dict)


TEXTS = [f"a fine {word} with number {n} on it" for n, word in enumerate(["table", "chair", "lamp"] * 20)]
RECORDS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
INPUTS = {
    "tab separated": Expected(csv().replace(b",", b"\t"), "a.tsv", interpretation={"delimiter": "\t", "encoding": "utf-8"}),
    "text file": Expected(csv().replace(b",", b";"), "a.txt", interpretation={"delimiter": ";"}),
    "compressed": Expected(gzip.compress(csv()), "a.csv.gz", kinds={"x": "number", "colour": "category"}),
    "compressed, named csv": Expected(gzip.compress(csv(), 1), kinds={"x": "number"}),
    "json lines": Expected(factories.jsonl_bytes(RECORDS), "a.jsonl", kinds={"x": "number", "colour": "category"}),
    "json array": Expected(json.dumps(RECORDS).encode(), "a.json", kinds={"x": "number", "colour": "category"}),
    "json array, named csv": Expected(json.dumps(RECORDS, indent=1).encode(), kinds={"x": "number"}),
    "workbook, named csv": Expected(
        xlsx_bytes(list(COLUMNS), zip(*COLUMNS.values(), strict=True)), interpretation={"sheet": "Data", "header": True}
    ),
    "no header": Expected(
        csv().partition(b"\n")[2], options={"header": False, "label": "column_3"}, kinds={"column_1": "number"}
    ),
    "encoding": Expected(csv(größe=range(60)).decode().encode("cp1250"), options={"encoding": "cp1250", "learn": ["größe"]}),
    "unit": Expected(csv(weight=[f"{n % 40} kg" for n in range(60)]), kinds={"weight": "number"}),
    "european thousands": Expected(
        csv(amount=[f'"{n % 40},5"' for n in range(60)], price=[f"{n % 40 + 1}.250" for n in range(60)]),
        kinds={"amount": "number", "price": "number"},
    ),
    "thousands option": Expected(
        csv(price=[f"{n % 40 + 1}.250" for n in range(60)]), options={"thousands": "."}, kinds={"price": "number"}
    ),
    "ambiguous": Expected(csv(price=[f'"{n % 40 + 1},250"' for n in range(60)]), warnings=["ambiguous_numbers"]),
    "sentinel": Expected(csv(y=[-9999 if n % 20 == 7 else n % 13 for n in range(60)]), warnings=["sentinel_values"]),
    "unlabelled by option": Expected(csv(), options={"unlabelled": True}, labelled=False, kinds={"label": "empty"}),
    "mark of a missing label": Expected(
        csv(label=["a", "b", "-"] * 20), options={"unlabelled": ["-"]}, warnings=["partly_labelled"]
    ),
    "likely label": Expected(
        csv({"x": COLUMNS["x"], "Class": COLUMNS["label"]}),
        warnings=["likely_label"],
        labelled=False,
        kinds={"Class": "category"},
    ),
    "free text": Expected(csv(note=TEXTS), warnings=["free_text"]),
    "text to learn": Expected(csv(note=TEXTS), options={"texts": ["note"]}, kinds={"note": "text"}),
    "group": Expected(csv(patient=[n // 6 for n in range(60)]), options={"group": "patient"}),
}


def test_tables_are_read_as_expected(client: TestClient) -> None:
    for name, expected in INPUTS.items():
        body = upload(client, expected.content, expected.filename, **expected.options)
        kinds = {one["name"]: one["kind"] for one in body["interpretation"]["columns"]}
        assert expected.kinds.items() <= kinds.items(), name
        assert codes(body) == list(expected.warnings), name
        assert body["labelled"] == expected.labelled, name
        assert expected.interpretation.items() <= body["interpretation"].items(), name
        assert body["rows"] == ROWS, name


def test_interpretation_has_the_reason_why_a_column_is_not_learned(client: TestClient) -> None:
    body = upload(
        client, csv(id=range(60), y=[-9999 if n % 20 == 7 else n % 13 for n in range(60)], w=[f"{n} kg" for n in range(60)])
    )
    assert body == client.get(f"/datasets/{body['id']}").json()
    counter = column(body, "id")
    assert (counter["learned"], counter["reason"]) == (False, "It counts the rows.")
    numbers = column(body, "y")
    assert (numbers["minimum"], numbers["maximum"], numbers["missing"], numbers["missing_values"]) == (0, 12, 3, [-9999])
    assert column(body, "w")["unit"] == "kg"
    assert column(body, "colour")["levels"] == 3


def test_labels_of_a_regression_are_rejected_with_the_reason(client: TestClient) -> None:
    answer = send(client, csv(label=RNG.normal(size=60).tolist()))
    assert answer.status_code == 422
    assert "only classification is supported" in answer.json()["detail"]
    assert answer.json()["errors"][0]["pointer"] == "/columns/label"


def test_contradicting_options_are_rejected(client: TestClient) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"decimal": ",", "thousands": ","}, "same mark"),
        ({"ignore": ["x"], "categories": ["x"]}, "named twice"),
        ({"encoding": "klingon"}, "not the name of an encoding"),
        ({"ignore": ["label"]}, "unlabelled"),
        ({"group": "nothing"}, "there is no column"),
    ]
    for options, text in cases:
        answer = send(client, csv(), **options)
        assert (answer.status_code, text in answer.text) == (422, True), (options, answer.text)


def test_reinterpretation_is_another_dataset_of_the_same_bytes(client: TestClient) -> None:
    first = upload(client, csv(code=[n % 4 for n in range(60)]))
    answer = client.post(f"/datasets/{first['id']}/reinterpretations", json={"options": {"categories": ["code"]}})
    assert answer.status_code == 201, answer.text
    other = answer.json()
    assert (other["digest"], other["name"], column(other, "code")["kind"]) == (first["digest"], first["name"], "category")
    assert answer.headers["Location"] == f"/datasets/{other['id']}"
    again = client.post(f"/datasets/{first['id']}/reinterpretations", json={"options": {"categories": ["code"]}})
    assert (again.status_code, again.json()["id"]) == (200, other["id"])
    wrong = client.post(f"/datasets/{first['id']}/reinterpretations", json={"options": {"categories": ["nothing"]}})
    assert wrong.status_code == 422
    assert client.delete(f"/datasets/{first['id']}").status_code == 204
    assert client.get(f"/datasets/{other['id']}/preview").status_code == 200


def check(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/jobs/check", json={"model": "m", "params": {"algorithm": "dann"}, **body})
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


def test_check_reports_differences_that_do_not_prevent_a_job(client: TestClient) -> None:
    source = upload(client, csv(extra=range(5, 65), length=[f"{n % 9} m" for n in range(60)]), learn=["extra"])["id"]
    far = {"x": [value + 1000 for value in COLUMNS["x"]], "colour": ["red", "pink"] * 30}
    target = upload(client, csv(far, other=COLUMNS["x"], length=[f"{n % 9} cm" for n in range(60)]))["id"]
    evaluation = upload(client, csv({**far, "length": [f"{n % 9} cm" for n in range(60)], "label": ["a"] * 60}))["id"]
    result = check(client, source=source, target=target, evaluation=evaluation)
    assert (result["accepted"], result["errors"]) == (True, [])
    found = {(warning["code"], warning["location"]) for warning in result["warnings"]}
    assert found >= {
        ("unshared_columns", "/target"),
        ("unknown_levels", "/target/colour"),
        ("ranges_apart", "/target/x"),
        ("different_units", "/target/length"),
        ("missing_classes", "/evaluation"),
    }
    job = client.post(
        "/jobs",
        json={"model": "m", "params": {"algorithm": "dann"}, "source": source, "target": target, "evaluation": evaluation},
    )
    assert job.status_code == 202
    assert {warning["code"] for warning in job.json()["warnings"]} == {code for code, _ in found}


def test_check_names_the_reasons_why_a_job_cannot_work(client: TestClient) -> None:
    source = upload(client, csv())["id"]
    other = upload(client, csv({"weight": COLUMNS["x"], "size": COLUMNS["x"]}))["id"]
    result = check(client, source=source, target=other)
    assert not result["accepted"]
    assert [error["pointer"] for error in result["errors"]] == ["/target"]
    assert "same names" in result["errors"][0]["detail"]
    unlabelled = upload(client, csv({"x": COLUMNS["x"], "species": COLUMNS["label"]}))["id"]
    (error,) = check(client, source=unlabelled, target=source)["errors"]
    assert "'species'" in error["detail"]
    target = upload(client, csv({"x": COLUMNS["x"], "colour": COLUMNS["colour"]}))["id"]
    (error,) = check(client, source=source, target=target, params={"algorithm": "adabn"})["errors"]
    assert (error["pointer"], "batch norm" in error["detail"]) == ("/params/algorithm", True)
