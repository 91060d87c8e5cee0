"""Names, descriptions and tags can be changed, and contain nothing invisible."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.job_state import JobStatus
from app.job_types.batch_prediction import BATCH_PREDICTION
from tests.support.factories import make_dataset, make_job, make_version

INVISIBLE = {
    "line break": "a\nb",
    "direction override": "a\u202eb",
    "zero width": "a\u200bb",
    "separator": "a\u2028b",
    "nul": "a\0b",
}


@pytest.fixture
def paths(session: Session) -> list[str]:
    """Return the paths of one resource of each kind."""
    dataset, version = make_dataset(session), make_version(session)
    prediction = make_job(
        session, kind=BATCH_PREDICTION.name, base={"model": "digits:1"}, params={"total": 1}, source_id=dataset.id
    )
    session.commit()
    resources = [f"/datasets/{dataset.id}", f"/jobs/{version.job_id}", f"/batch-predictions/{prediction.id}"]
    return [*resources, "/models/digits", "/models/digits/versions/1"]


def test_description_and_tags_of_every_resource_can_be_changed(client: TestClient, paths: list[str]) -> None:
    for path in paths:
        changed = client.patch(path, json={"description": "First line.\nSecond line.", "tags": ["b", "a", "b"]})
        assert changed.status_code == 200, changed.text
        assert changed.json() == client.get(path).json()
        assert (changed.json()["description"], changed.json()["tags"]) == ("First line.\nSecond line.", ["a", "b"])
        assert client.patch(path, json={"tags": []}).json()["description"] == "First line.\nSecond line."


def test_unknown_and_null_fields_are_rejected(client: TestClient, paths: list[str]) -> None:
    for path in paths:
        for body in ({"owner": "me"}, {"description": None}, {"tags": "a"}, {"tags": ["x" * 65]}, {"tags": ["x"] * 33}):
            assert client.patch(path, json=body).status_code == 422, (path, body)


@pytest.mark.parametrize("text", INVISIBLE.values(), ids=INVISIBLE.keys())
def test_invisible_characters_are_rejected(client: TestClient, paths: list[str], text: str) -> None:
    assert client.patch(paths[0], json={"name": text}).status_code == 422
    for path in paths:
        assert client.patch(path, json={"tags": [text]}).status_code == 422
        if text != "a\nb":
            assert client.patch(path, json={"description": text}).status_code == 422
    upload = client.post("/datasets", data={"name": text}, files={"file": ("a.csv", b"x,label\n1,a\n2,b\n")})
    assert upload.status_code == 422


def test_invisible_characters_of_a_file_name_are_replaced(client: TestClient) -> None:
    content = b"x,label\n1,a\n2,b\n3,a\n4,b\n"
    upload = client.post("/datasets", data={"name": "table"}, files={"file": ("a\u202eb.csv", content)})
    assert upload.status_code == 201, upload.text
    assert upload.json()["filename"] == "a\N{REPLACEMENT CHARACTER}b.csv"


def test_renamed_dataset_keeps_its_id(client: TestClient, paths: list[str]) -> None:
    assert client.patch(paths[0], json={"name": "  Patients of 2025  "}).json()["name"] == "Patients of 2025"


def test_renamed_model_takes_its_versions_and_jobs_along(client: TestClient, session: Session) -> None:
    version = make_version(session)
    session.commit()
    assert client.patch("/models/digits", json={"name": "numbers"}).json()["name"] == "numbers"
    assert client.get("/models/digits").status_code == 404
    assert client.get("/models/numbers/versions/1").json()["model"] == "numbers"
    assert client.get(f"/jobs/{version.job_id}").json()["version"] == {"model": "numbers", "number": 1}


def test_model_is_not_renamed_to_a_taken_name_or_while_it_trains(client: TestClient, session: Session) -> None:
    make_version(session)
    make_version(session, model="letters")
    session.commit()
    taken = client.patch("/models/digits", json={"name": "letters"})
    assert (taken.status_code, taken.json()["code"]) == (409, "model_name_taken")
    make_job(session, status=JobStatus.RUNNING, model_name="digits")
    session.commit()
    busy = client.patch("/models/digits", json={"name": "numbers"})
    assert (busy.status_code, busy.json()["code"]) == (409, "model_in_use")
    assert client.patch("/models/digits", json={"name": "no spaces"}).status_code == 422
