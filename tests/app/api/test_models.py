"""References, versions, aliases and downloads, on both databases."""

import base64
from hashlib import sha256
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction, sessionmaker

from app.db.tables import ArtifactRow
from app.errors import ModelNotFound
from app.job_state import JobStatus
from app.services import models, pagination
from app.storage import Storage
from tests.support.factories import make_dataset, make_job, make_version


def test_reference_resolves_to_newest_version_number_or_alias(session: Session) -> None:
    first, second, other = make_version(session), make_version(session), make_version(session, model="reviews")
    assert models.resolve(session, "digits").id == second.id
    models.set_alias(session, "digits", "production", 1)

    assert models.resolve(session, "digits").id == first.id
    assert models.resolve(session, "digits:2").id == second.id
    assert models.resolve(session, "digits:1").id == first.id
    assert models.resolve(session, "digits@production").id == first.id
    assert models.resolve(session, "reviews").id == other.id


@pytest.mark.parametrize(
    "reference",
    [
        "letters",
        "digits:2",
        "digits:0",
        "digits:9999999999",
        "digits@staging",
        "digits@",
        "digits:",
        "digits:1@production",
        "",
        "@",
        "digits:-1",
        "digits:one",
        " digits",
        "digits\n",
        "digits\x00",
        "dig its",
        "../digits",
        "é",
        "digits@a\x00",
        "1" * 5000,
    ],
)
def test_unknown_reference_is_not_found(session: Session, reference: str) -> None:
    make_version(session)
    with pytest.raises(ModelNotFound):
        models.resolve(session, reference)


def test_alias_belongs_to_one_model(session: Session) -> None:
    make_version(session, model="digits")
    make_version(session, model="reviews")
    models.set_alias(session, "digits", "production", 1)

    with pytest.raises(ModelNotFound):
        models.resolve(session, "reviews@production")


def test_models_are_listed_newest_first_in_pages(client: TestClient, session: Session) -> None:
    for name in ("a", "b", "c"):
        make_version(session, model=name)
    make_version(session, model="b")
    session.commit()

    first = client.get("/models", params={"limit": 2}).json()
    rest = client.get("/models", params={"limit": 2, "after": first["next"]}).json()
    names = [model["name"] for model in first["data"] + rest["data"]]
    assert sorted(names) == ["a", "b", "c"]
    assert rest["next"] is None
    assert {model["name"]: (model["newest"]["number"], model["versions"]) for model in first["data"] + rest["data"]} == {
        "a": (1, 1),
        "b": (2, 2),
        "c": (1, 1),
    }


def test_versions_are_listed_newest_first_in_pages(client: TestClient, session: Session) -> None:
    for model in ("digits", "reviews", "digits", "digits"):
        make_version(session, model=model)
    session.commit()

    first = client.get("/models/digits/versions", params={"limit": 2}).json()
    rest = client.get("/models/digits/versions", params={"limit": 2, "after": first["next"]}).json()
    assert [version["number"] for version in first["data"]] == [3, 2]
    assert [version["number"] for version in rest["data"]] == [1]
    assert rest["next"] is None
    newest = client.get("/models/digits").json()
    assert (newest["newest"], newest["versions"]) == (first["data"][0], 3)


def test_lists_of_versions_omit_metrics_by_class(client: TestClient, session: Session) -> None:
    metrics = {"source_accuracy": 0.9, "source_confusion": [[9, 1], [0, 0]], "source_classes": {}, "search": []}
    make_version(session, metrics=metrics)
    session.commit()
    assert client.get("/models/digits/versions").json()["data"][0]["metrics"] == {"source_accuracy": 0.9}
    assert client.get("/models/digits").json()["newest"]["metrics"] == {"source_accuracy": 0.9}
    assert client.get("/models/digits/versions/1").json()["metrics"] == metrics


def test_version_has_its_lineage(client: TestClient, session: Session) -> None:
    source, target = make_dataset(session), make_dataset(session, labelled=False)
    base = make_version(session)
    job = make_job(session, status=JobStatus.SUCCEEDED, source_id=source.id, target_id=target.id, attempt=1)
    make_version(session, model="adapted", job=job, base_version_id=base.id, artifacts=["manifest.json", "model.onnx"])
    models.set_alias(session, "adapted", "production", 1)
    session.commit()

    version = client.get("/models/adapted/versions/1").json()

    assert version["lineage"] == {
        "job": str(job.id),
        "algorithm": "fine_tune",
        "source": str(source.id),
        "sources": [str(source.id)],
        "target": str(target.id),
        "evaluation": None,
        "base": {"model": "digits", "number": 1},
        "encoder": None,
    }
    assert version["model"] == "adapted"
    assert version["aliases"] == ["production"]
    assert version["classes"] == ["no", "yes"]
    assert version["metrics"] == {"source_accuracy": 0.9}
    assert [artifact["name"] for artifact in version["artifacts"]] == ["manifest.json", "model.onnx"]
    assert client.get("/models/adapted").json()["aliases"][0]["version"] == 1


def test_alias_is_moved_and_deleted(client: TestClient, session: Session) -> None:
    make_version(session)
    make_version(session)
    session.commit()

    for number in (1, 2, 2):
        answer = client.put("/models/digits/aliases/production", json={"version": number})
        assert answer.status_code == 200
        assert answer.json()["version"] == number
    assert client.get("/models/digits").json()["aliases"] == [answer.json()]
    assert client.delete("/models/digits/aliases/production").status_code == 204
    gone = client.delete("/models/digits/aliases/production")
    assert (gone.status_code, gone.json()["code"]) == (404, "model_not_found")


def test_rejected_move_leaves_the_alias_unchanged(client: TestClient, session: Session) -> None:
    make_version(session)
    models.set_alias(session, "digits", "production", 1)
    session.commit()

    assert client.put("/models/digits/aliases/production", json={"version": 2}).status_code == 404
    for bad in (0, -1, 2**31, "newest", None, 1.5):
        answer = client.put("/models/digits/aliases/production", json={"version": bad})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/version"
    assert models.resolve(session, "digits@production").number == 1


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/models/letters", 404),
        ("/models/digits/versions/2", 404),
        ("/models/digits/versions/0", 422),
        ("/models/digits/versions/99999999999", 422),
        ("/models/digits/versions/x", 422),
        ("/models/di%00gits", 422),
        ("/models/digits/versions/1/artifacts/model.pt", 404),
        ("/models/digits/versions/1/artifacts/%2e%2e", 422),
        ("/models/digits/versions/1/artifacts/model.onnx", 404),  # in the database, but not in the storage
        ("/models?after=x", 422),
        ("/models?limit=0", 422),
        ("/models/letters/versions", 404),
        ("/models/digits/versions?after=x", 422),
        (f"/models/digits/versions?after={pagination.encode(10**30)}", 422),
    ],
)
def test_unknown_model_or_file_is_a_problem_document(client: TestClient, session: Session, path: str, status: int) -> None:
    make_version(session, artifacts=["model.onnx"])
    session.commit()

    answer = client.get(path)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def stored(session: Session, storage: Storage, tmp_path: Path) -> str:
    """Store a version with a real file and return the path of its download."""
    (tmp_path / "model.onnx").write_bytes(CONTENT)
    file = storage.put("jobs/some/1/model.onnx", tmp_path / "model.onnx")
    artifact = ArtifactRow(name="model.onnx", **file.columns())
    version = make_version(session)
    artifact.version_id = version.id
    session.add(artifact)
    session.commit()
    return "/models/digits/versions/1/artifacts/model.onnx"


def test_artifact_is_downloaded_with_its_digest(client: TestClient, stored: str) -> None:
    answer = client.get(stored)

    assert answer.content == CONTENT
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["etag"] == f'"{sha256(CONTENT).hexdigest()}"'
    assert answer.headers["repr-digest"] == f"sha-256=:{base64.b64encode(sha256(CONTENT).digest()).decode()}:"
    assert answer.headers["content-disposition"] == 'attachment; filename="model.onnx"'


def test_storage_is_read_outside_transactions(
    client: TestClient, sessions: sessionmaker[Session], stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage: Storage = client.app.state.storage  # type: ignore[attr-defined]
    exists, open_now, seen = storage.exists, set[SessionTransaction](), list[int]()
    event.listen(sessions, "after_transaction_create", lambda _, transaction: open_now.add(transaction))
    event.listen(sessions, "after_transaction_end", lambda _, transaction: open_now.discard(transaction))

    def watched(key: str) -> bool:
        seen.append(len(open_now))
        return exists(key)

    monkeypatch.setattr(storage, "exists", watched)
    assert client.get(stored).status_code == 200
    assert seen == [0]


def test_current_copy_is_not_sent_again(client: TestClient, stored: str) -> None:
    etag = client.get(stored).headers["etag"]

    again = client.get(stored, headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert client.get(stored, headers={"If-None-Match": '"other"'}).content == CONTENT


def test_interrupted_download_resumes(client: TestClient, stored: str) -> None:
    etag = client.get(stored).headers["etag"]

    rest = client.get(stored, headers={"Range": "bytes=1000-", "If-Range": etag})
    assert (rest.status_code, rest.content) == (206, CONTENT[1000:])
    changed = client.get(stored, headers={"Range": "bytes=1000-", "If-Range": '"other"'})
    assert (changed.status_code, changed.content) == (200, CONTENT)


def test_other_file_system_streams_the_same_bytes(client: TestClient, session: Session, tmp_path: Path) -> None:
    storage = Storage("memory://isthmus")
    (tmp_path / "manifest.json").write_bytes(CONTENT)
    file = storage.put("jobs/some/1/manifest.json", tmp_path / "manifest.json")
    version = make_version(session)
    session.add(ArtifactRow(version_id=version.id, name="manifest.json", **file.columns()))
    session.commit()
    client.app.state.storage = storage  # type: ignore[attr-defined]

    answer = client.get("/models/digits/versions/1/artifacts/manifest.json")

    assert answer.content == CONTENT
    assert answer.headers["etag"] == f'"{file.digest}"'
