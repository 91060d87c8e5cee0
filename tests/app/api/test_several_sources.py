"""Jobs with several sources over HTTP: checks, references and responses."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.db.tables import DatasetRow
from tests.support.factories import make_dataset

AGE, SEX = {"name": "age", "kind": "number", "missing": 0}, {"name": "sex", "kind": "category", "missing": 0}


def stored(session: Session, *columns: dict[str, Any], **fields: Any) -> DatasetRow:
    row = make_dataset(session, profile={"columns": list(columns or (AGE, SEX)), "label": "label"}, **fields)
    session.commit()
    return row


def body(*sources: DatasetRow, **fields: Any) -> dict[str, Any]:
    return {"model": "patients", "source": [str(row.id) for row in sources], "params": {"algorithm": "fine_tune"}, **fields}


def errors_of(answer: Any) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    return {error["pointer"]: error["detail"] for error in answer.json()["errors"]}


def test_all_sources_are_references_of_the_job(client: TestClient, session: Session) -> None:
    first, second, target = stored(session), stored(session), stored(session, labelled=False, classes=None)
    job = client.post("/jobs", json=body(first, second, target=str(target.id))).json()
    assert (job["source"], job["sources"]) == (str(first.id), [str(first.id), str(second.id)])
    assert client.get(f"/jobs/{job['id']}").json() == job
    assert client.get("/jobs").json()["data"] == [job]
    for row in (first, second):
        (usage,) = client.get(f"/datasets/{row.id}/usages").json()["data"]
        assert (usage["job"], usage["roles"]) == (job["id"], ["source"])
        assert client.delete(f"/datasets/{row.id}").json()["code"] == "dataset_in_use"
    client.post(f"/jobs/{job['id']}/cancel")
    assert client.delete(f"/datasets/{second.id}").status_code == 204
    assert client.delete(f"/jobs/{job['id']}").status_code == 204


def test_sources_are_compared_with_one_another(client: TestClient, session: Session) -> None:
    first = stored(session)
    text_age = stored(session, {**AGE, "kind": "category"}, SEX)
    series, unlabelled = stored(session, modality="text"), stored(session, labelled=False, classes=None)
    assert "contains categories" in errors_of(client.post("/jobs", json=body(first, text_age)))["/source/1"]
    assert errors_of(client.post("/jobs", json=body(first, first, series))).keys() == {"/source/1"}
    assert "is tabular data" in errors_of(client.post("/jobs", json=body(first, series)))["/source/1"]
    assert "no labels" in errors_of(client.post("/jobs", json=body(first, unlabelled)))["/source/1"]
    missing = client.post("/jobs", json={**body(first), "source": [str(first.id), "ward-9"]})
    assert errors_of(missing) == {"/source/1": "There is no dataset named 'ward-9'."}
    assert errors_of(client.post("/jobs", json=body())).keys() == {"/source"}


def test_target_is_no_source_and_needs_a_column_that_all_sources_share(client: TestClient, session: Session) -> None:
    first, second = stored(session), stored(session, AGE)
    assert errors_of(client.post("/jobs", json=body(first, second, target=str(second.id)))).keys() == {"/target"}
    only_sex, message = stored(session, SEX), "give the columns the same names"
    assert message in errors_of(client.post("/jobs", json=body(first, second, only_sex)))["/source"]
    assert message in errors_of(client.post("/jobs", json=body(first, second, target=str(only_sex.id))))["/target"]


@pytest.mark.parametrize("path", ["/jobs/check", "/jobs"])
def test_classes_are_joined_and_unshared_columns_are_reported(client: TestClient, session: Session, path: str) -> None:
    first, second = stored(session, classes={"no": 5, "yes": 5}), stored(session, AGE, classes={"no": 5, "maybe": 5})
    evaluation = stored(session, AGE, classes={"no": 1, "yes": 1, "maybe": 1})
    answer = client.post(path, json=body(first, second, evaluation=str(evaluation.id))).json()
    messages = [(one["code"], one["message"]) for one in answer["warnings"]]
    assert messages == [
        ("unshared_columns", "1 columns are not used, because not all sources have them: 'sex'"),
        ("missing_classes", "this source has no examples of 1 of 3 classes: 'maybe'"),
        ("missing_classes", "this source has no examples of 1 of 3 classes: 'yes'"),
    ]
