"""Label requests over HTTP: draws, labels, figures, exchange with Label Studio, datasets of labels."""

import io
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.label_tables import LabelRow
from app.db.tables import ArtifactRow, DatasetRow, VersionRow
from app.job_state import JobStatus
from app.labels.target_outputs import TARGET_FILE, TargetOutputs
from app.storage import Storage
from tests.support.factories import csv_bytes, make_job, make_version

ROWS = 200
URL = "/models/patients/versions/1/label-requests"
TRUTH = ["yes" if row % 3 else "no" for row in range(1, ROWS + 1)]
ADAPTED = ["yes" if row % 10 else "no" for row in range(1, ROWS + 1)]
SOURCE_ONLY = ["yes" if row % 2 else "no" for row in range(1, ROWS + 1)]


def outputs(**fields: Any) -> TargetOutputs:
    random = np.random.default_rng(0)
    values: dict[str, Any] = {
        "rows": np.arange(1, ROWS + 1),
        "predicted": ADAPTED,
        "source_only": SOURCE_ONLY,
        "confidence": random.random(ROWS).astype(np.float32),
        "margin": random.random(ROWS).astype(np.float32),
        "components": random.normal(size=(ROWS, 3)).astype(np.float32),
        "learned": np.arange(ROWS) == 0,
        **fields,
    }
    return TargetOutputs(**values)


def publish(session: Session, storage: Storage, target: str, found: TargetOutputs, folder: Path, **fields: Any) -> VersionRow:
    path = folder / TARGET_FILE
    found.write(path)
    stored = storage.put(f"jobs/{uuid4()}/1/artifacts/{TARGET_FILE}", path)
    job = make_job(
        session, model_name="patients", status=JobStatus.SUCCEEDED, attempt=1, target_id=session.get_one(DatasetRow, target).id
    )
    version = make_version(session, model="patients", job=job, **fields)
    version.artifacts = [ArtifactRow(name=TARGET_FILE, **stored.columns())]
    session.commit()
    return version


@pytest.fixture
def target(client: TestClient) -> Any:
    rows = [(row, "f" if row % 2 else "m") for row in range(1, ROWS + 1)]
    file = ("target.csv", csv_bytes(["age", "sex"], rows), "text/csv")
    return client.post("/datasets", data={"name": "target", "modality": "tabular"}, files={"file": file}).json()


@pytest.fixture
def version(session: Session, storage: Storage, target: Any, tmp_path: Path) -> VersionRow:
    estimate = {"value": 0.9, "low": 0.8, "high": 0.95, "confidence": 0.9}
    return publish(session, storage, _uuid(target), outputs(), tmp_path, metrics={"target_accuracy_estimate": estimate})


def _uuid(dataset: Any) -> Any:
    from uuid import UUID

    return UUID(dataset["id"])


def create(client: TestClient, **body: Any) -> Any:
    answer = client.post(URL, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def label_all(client: TestClient, request: Any, rows: int | None = None) -> Any:
    labels = [{"row": one["row"], "label": TRUTH[one["row"] - 1]} for one in request["rows"][:rows]]
    answer = client.put(f"/label-requests/{request['id']}/labels", json={"labels": labels})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.usefixtures("version")
def test_labels_give_figures_at_the_planned_looks(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.label_draws.secrets.randbelow", lambda _: 5)  # one draw in ten misses the truth
    request = create(client, count=40, purpose="both")
    rows = [one["row"] for one in request["rows"]]
    assert len(set(rows)) == 40
    assert 1 not in rows, "its label was learned"
    first = request["rows"][0]
    assert first == {
        "row": rows[0],
        "preview": {"age": rows[0], "sex": "f" if rows[0] % 2 else "m"},
        "label": None,
        "unclear": False,
    }
    assert (request["measured"], request["next_look"]) == (None, {"labels": 20, "remaining": 20})
    assert sum(stratum["rows"] for stratum in request["strata"]) == ROWS - 1

    at_20 = label_all(client, request, 25)
    assert at_20["next_look"] == {"labels": 30, "remaining": 5}
    assert (at_20["answered"], at_20["measured"]["look"]) == (25, 20)
    done = label_all(client, request)
    measured, truth = done["measured"], np.mean([one == other for one, other in zip(TRUTH, ADAPTED, strict=True)])
    assert measured["accuracy"]["low"] < truth < measured["accuracy"]["high"]
    assert measured["helped"] in ("yes", "unsure")
    assert measured["estimate"]["error"] == pytest.approx(0.9 - measured["accuracy"]["value"])
    assert measured["classes"]["yes"]["labels"] >= 5
    assert done["next_look"] is None
    assert client.get(f"/label-requests/{request['id']}").json() == done
    assert client.get("/label-requests", params={"model": "patients"}).json()["data"] == [done]
    shown = client.get("/models/patients/versions/1").json()["measured"]
    assert shown["labels"] == measured
    assert shown["evaluation"] is None
    summary = client.get("/models/patients/versions/1").json()["summary"]
    assert summary[0].startswith("Expected target accuracy: 90 %")
    assert summary[3].startswith("Measured with 40 labels: accuracy ")


@pytest.mark.usefixtures("version")
def test_answers_are_checked_and_can_be_taken_back(client: TestClient) -> None:
    request = create(client, count=20, purpose="accuracy")
    url, row = f"/label-requests/{request['id']}/labels", request["rows"][0]["row"]
    answer = client.put(url, json={"labels": [{"row": row, "label": "yess"}, {"row": ROWS + 7, "label": "no"}]})
    assert answer.status_code == 422
    errors = {error["pointer"]: error["detail"] for error in answer.json()["errors"]}
    assert "did you mean 'yes'? The classes are no, yes" in errors["/labels/0/label"]
    assert "not one of the rows" in errors["/labels/1/row"]
    assert client.put(url, json={"labels": [{"row": row, "label": "no", "unclear": True}]}).status_code == 422
    answers: list[tuple[dict[str, Any], Any]] = [({"unclear": True}, (1, 1)), ({"label": " yes "}, (1, 0)), ({}, (0, 0))]
    for given, expected in answers:
        found = client.put(url, json={"labels": [{"row": row} | given]}).json()
        assert (found["answered"], found["unclear"]) == expected


def test_purposes_that_a_version_cannot_serve_are_refused(
    client: TestClient, session: Session, storage: Storage, target: Any, tmp_path: Path
) -> None:
    publish(session, storage, _uuid(target), outputs(source_only=None), tmp_path)
    publish(session, storage, _uuid(target), outputs(source_only=ADAPTED), tmp_path)
    make_version(session, model="patients")
    session.commit()
    expected = {1: "no source-only model", 2: "agree on all 199 rows", 3: "no predictions of a target"}
    for number, message in expected.items():
        answer = client.post(f"/models/patients/versions/{number}/label-requests", json={"purpose": "gain"})
        assert answer.status_code == 422
        assert message in answer.text
    assert client.post("/models/patients/versions/9/label-requests", json={}).status_code == 404
    assert client.get(f"/label-requests/{uuid4()}").json()["code"] == "label_request_not_found"


@pytest.mark.usefixtures("version")
def test_a_row_measures_or_teaches_but_not_both(client: TestClient, session: Session, target: Any) -> None:
    measuring = create(client, count=100, purpose="accuracy")
    label_all(client, measuring)
    improving = create(client, count=60, purpose="improve")
    rows = [{one["row"] for one in request["rows"]} for request in (measuring, improving)]
    assert not rows[0] & rows[1]
    assert len(rows[1]) == 60
    done = label_all(client, improving)
    assert (done["measured"], done["next_look"]) == (None, None)
    again = create(client, count=100, purpose="accuracy")
    assert not {one["row"] for one in again["rows"]} & rows[1]
    assert again["answered"] == len({one["row"] for one in again["rows"]} & rows[0]) > 0
    assert session.scalar(select(LabelRow.predicted).limit(1)) in ("yes", "no")

    learned = client.post(f"/label-requests/{improving['id']}/dataset", json={"name": "learned"}).json()
    held = client.post(f"/label-requests/{measuring['id']}/dataset", json={"name": "held"})
    assert (held.status_code, held.json()["rows"], held.json()["labelled"]) == (201, 100, True)
    same = client.post(f"/label-requests/{measuring['id']}/dataset", json={"name": "held"})
    assert (same.status_code, same.json()["id"]) == (200, held.json()["id"])
    preview = client.get(f"/datasets/{held.json()['id']}/preview", params={"limit": 3}).json()["data"]
    assert [row["label"] for row in preview] == [TRUTH[row - 1] for row in sorted(rows[0])[:3]]
    assert [row["age"] for row in preview] == sorted(rows[0])[:3]

    source = client.post(
        "/datasets",
        data={"name": "source"},
        files={"file": ("s.csv", csv_bytes(["age", "sex", "label"], [(n, "f", "yes" if n % 2 else "no") for n in range(40)]))},
    ).json()
    job = {"model": "m", "source": source["id"], "target": target["id"], "params": {"algorithm": "dann"}}
    refused = client.post("/jobs", json={**job, "evaluation": learned["id"]})
    assert "collected to train" in refused.json()["errors"][0]["detail"]
    refused = client.post("/jobs", json={**job, "source": held.json()["id"]})
    assert "collected to measure" in refused.json()["errors"][0]["detail"]
    params = {"algorithm": "dann", "use_target_labels": True}
    accepted = client.post("/jobs", json={**job, "evaluation": held.json()["id"], "params": params})
    assert accepted.status_code == 202, accepted.text


@pytest.mark.usefixtures("version")
def test_label_studio_and_tables_exchange_rows_and_labels(client: TestClient) -> None:
    request = create(client, count=20, purpose="accuracy")
    url = f"/label-requests/{request['id']}"
    tasks = client.get(f"{url}/export").json()
    assert tasks[0]["data"]["values"]["age"] == str(tasks[0]["data"]["row"])
    assert all(task.keys() == {"data"} for task in tasks)
    assert '<Choice value="yes"/>' in client.get(f"{url}/export", params={"format": "label_studio_interface"}).text

    def result(task: Any, label: str, **fields: Any) -> Any:
        choice = {"type": "choices", "from_name": "label", "to_name": "row", "value": {"choices": [label]}}
        return {**task, "id": 7, "annotations": [{"result": [choice], **fields}]}

    full = [result(tasks[0], "yes"), result(tasks[1], "unclear"), result(tasks[2], "no", was_cancelled=True)]
    found = client.post(f"{url}/import", content=json.dumps(full), headers={"content-type": "application/json"})
    assert found.status_code == 200, found.text
    assert (found.json()["answered"], found.json()["unclear"]) == (2, 1)
    flat = json.dumps([{"row": tasks[3]["data"]["row"], "choice": {"choices": ["no"]}}])
    table = f"id,row,label\n1,{tasks[4]['data']['row']},yes\n2,{tasks[5]['data']['row']},\n"
    for content, kind in ((flat, "application/json"), (table, "text/csv")):
        assert client.post(f"{url}/import", content=content, headers={"content-type": kind}).status_code == 200
    exported = client.get(f"{url}/export", params={"format": "csv"})
    assert exported.headers["content-type"].startswith("text/csv")
    lines = exported.text.splitlines()
    assert lines[0] == "row,label,age,sex"
    assert sorted(line.split(",")[1] for line in lines[1:])[-5:] == ["", "no", "unclear", "yes", "yes"]
    again = client.post(f"{url}/import", content=io.BytesIO(exported.content).read(), headers={"content-type": "text/csv"})
    assert again.json()["answered"] == 4
    for bad in (b"[1]", b"{}", b"[", b"\xff", b'[{"row": "x", "label": "yes"}]', b"[]"):
        assert client.post(f"{url}/import", content=bad, headers={"content-type": "application/json"}).status_code == 422
    assert client.post(f"{url}/import", content=b"x", headers={"content-type": "text/plain"}).status_code == 415
    assert client.delete(url).status_code == 204
    assert client.get(url).status_code == 404
