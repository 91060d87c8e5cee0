"""Deletion of versions, models, jobs and batch predictions: references prevent it, files go after the commit."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from app import storage_keys
from app.db.tables import (
    AliasRow,
    ArtifactRow,
    EventRow,
    FileDeletionRow,
    JobRow,
    MetricRow,
    ModelRow,
    OutputRow,
    RegistryRevisionRow,
    VersionRow,
)
from app.job_state import JobStatus
from app.job_types.batch_prediction import BATCH_PREDICTION
from app.job_types.trial import TRIAL
from app.services import file_deletions, leases
from app.storage import Storage
from tests.support.factories import lease_of, make_job, make_result, make_version
from tests.support.metrics_scrape import key, scrape

Sessions = sessionmaker[Session]


def put_files(storage: Storage, folder: Path, job_id: uuid.UUID, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "file").write_bytes(b"content")
    for name in names:
        storage.put(storage_keys.attempt_file(job_id, 1, name), folder / "file")


def set_alias(session: Session, version: VersionRow, name: str = "production") -> None:
    session.add(AliasRow(model_id=version.model_id, name=name, version_id=version.id))
    session.commit()


def pointers(response: Any) -> list[str]:
    assert response.status_code == 409, response.text
    return [error["pointer"] for error in response.json()["errors"]]


def test_deleted_version_is_gone_with_its_files(client: TestClient, session: Session, storage: Storage, tmp_path: Path) -> None:
    first = make_version(session, artifacts=["model.onnx", "manifest.json"])
    make_version(session)
    session.commit()
    put_files(storage, tmp_path / "files", first.job_id, "model.onnx", "manifest.json")
    assert client.delete("/models/digits/versions/1").status_code == 204
    assert client.get("/models/digits/versions/1").status_code == 404
    assert client.get("/models/digits").json()["versions"] == 1
    assert client.get(f"/jobs/{first.job_id}").json()["version"] is None
    assert storage.keys("jobs") == []
    assert client.delete("/models/digits/versions/1").status_code == 404


def test_deleted_version_ends_its_references_everywhere(client: TestClient, session: Session) -> None:
    make_version(session)
    make_version(session)
    session.commit()
    before = session.scalar(select(RegistryRevisionRow.revision))
    client.delete("/models/digits/versions/2")
    assert session.scalar(select(RegistryRevisionRow.revision)) == (before or 0) + 1


def test_number_of_a_deleted_version_is_not_given_again(client: TestClient, session: Session) -> None:
    make_version(session)
    make_version(session)
    job = make_job(session, status=JobStatus.RUNNING)
    session.commit()
    client.delete("/models/digits/versions/2")
    assert leases.finish(session, lease_of(job), make_result())
    session.commit()
    assert client.get("/models/digits").json()["newest"]["number"] == 3


def test_version_in_use_is_kept_and_all_references_are_named(client: TestClient, session: Session) -> None:
    version = make_version(session)
    make_version(session)
    waiting = make_job(session, base_version_id=version.id)
    running = make_job(session, status=JobStatus.RUNNING, kind=BATCH_PREDICTION.name, base_version_id=version.id)
    make_job(session, status=JobStatus.FAILED, base_version_id=version.id)
    set_alias(session, version)
    refused = client.delete("/models/digits/versions/1")
    expected = {"/aliases/production", f"/jobs/{waiting.id}", f"/batch-predictions/{running.id}"}
    assert set(pointers(refused)) == expected
    assert refused.json()["code"] == "version_in_use"
    assert "/aliases/production: the alias points to it; move or delete the alias" in refused.json()["detail"]
    assert client.get("/models/digits/versions/1").status_code == 200


def test_only_version_of_a_model_is_deleted_with_the_model(client: TestClient, session: Session) -> None:
    make_version(session)
    session.commit()
    assert pointers(client.delete("/models/digits/versions/1")) == ["/models/digits"]
    assert client.delete("/models/digits").status_code == 204
    assert client.get("/models/digits").status_code == 404
    assert session.scalars(select(ModelRow.name)).all() == []


def test_version_derived_from_a_deleted_one_keeps_its_lineage(client: TestClient, session: Session) -> None:
    base = make_version(session)
    make_version(session)
    job = make_job(
        session, status=JobStatus.SUCCEEDED, base={"model": "digits:1"}, base_version_id=base.id, params={"algorithm": "dann"}
    )
    make_version(session, model="adapted", job=job, base_version_id=base.id)
    session.commit()
    before = client.get("/models/adapted/versions/1").json()["lineage"]["base"]
    assert client.delete("/models/digits/versions/1").status_code == 204
    assert client.get("/models/adapted/versions/1").json()["lineage"]["base"] == before == {"model": "digits", "number": 1}


def test_model_with_aliases_or_active_jobs_is_kept(client: TestClient, session: Session) -> None:
    version = make_version(session)
    training = make_job(session, model_name="digits")
    set_alias(session, version)
    assert set(pointers(client.delete("/models/digits"))) == {"/aliases/production", f"/jobs/{training.id}"}


def test_ended_job_is_deleted_with_all_that_belongs_to_it(
    client: TestClient, session: Session, storage: Storage, tmp_path: Path
) -> None:
    job = make_job(session, status=JobStatus.FAILED)
    child = make_job(session, status=JobStatus.CANCELLED, kind=TRIAL.name, parent_id=job.id, trial="1-0-mcc")
    session.add(EventRow(job_id=job.id, attempt=0, kind="done", data={}))
    session.add(MetricRow(job_id=job.id, event_id=0, attempt=1, step=1, epoch=1.0, name="domain", value=0.5))
    session.commit()
    put_files(storage, tmp_path / "files", job.id, "checkpoint-5.pt")
    put_files(storage, tmp_path / "files", child.id, "trial.pt")
    assert client.delete(f"/jobs/{job.id}").status_code == 204
    assert client.get(f"/jobs/{job.id}").status_code == 404
    assert [session.scalar(select(func.count()).select_from(table)) for table in (JobRow, EventRow, MetricRow)] == [0, 0, 0]
    assert storage.keys("jobs") == []


@pytest.mark.parametrize("status", ["queued", "running", "cancelling"])
def test_job_that_has_not_ended_is_kept(client: TestClient, session: Session, status: str) -> None:
    job = make_job(session, status=JobStatus(status))
    session.commit()
    refused = client.delete(f"/jobs/{job.id}")
    assert pointers(refused) == [f"/jobs/{job.id}"]
    assert f"the {status} job has not ended; cancel it or wait for its end" in refused.json()["detail"]


def test_job_of_a_version_is_kept(client: TestClient, session: Session) -> None:
    version = make_version(session, artifacts=["model.onnx"])
    session.commit()
    assert pointers(client.delete(f"/jobs/{version.job_id}")) == ["/models/digits/versions/1"]
    assert client.delete("/models/digits").status_code == 204
    assert client.delete(f"/jobs/{version.job_id}").status_code == 204


def test_batch_prediction_is_deleted_with_its_output(
    client: TestClient, session: Session, storage: Storage, tmp_path: Path
) -> None:
    job = make_job(session, status=JobStatus.SUCCEEDED, kind=BATCH_PREDICTION.name)
    output_key = storage_keys.attempt_file(job.id, 1, "predictions.csv")
    session.add(OutputRow(job_id=job.id, attempt=1, storage_key=output_key, digest="0" * 64, size_bytes=7, rows=1))
    session.commit()
    put_files(storage, tmp_path / "files", job.id, "predictions.csv")
    assert client.delete(f"/jobs/{job.id}").status_code == 404
    assert client.delete(f"/batch-predictions/{job.id}").status_code == 204
    assert storage.keys("jobs") == []
    assert session.scalars(select(OutputRow.job_id)).all() == []


def test_counts_of_jobs_follow_deletions_and_durations_stay(client: TestClient, session: Session) -> None:
    job = make_job(session, status=JobStatus.RUNNING)
    leases.fail(session, lease_of(job), "bad_data", "No.")
    session.commit()
    client.delete(f"/jobs/{job.id}")
    samples = scrape(client)
    assert samples[key("isthmus_jobs", status="failed")] == 0
    assert samples[key("isthmus_job_duration_seconds_count", algorithm="fine_tune", status="failed")] == 1


def test_files_that_a_crash_left_are_removed_by_the_sweep(
    client: TestClient, session: Session, sessions: Sessions, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = make_version(session, artifacts=["model.onnx"])
    make_version(session)
    session.commit()
    put_files(storage, tmp_path / "files", version.job_id, "model.onnx")
    with monkeypatch.context() as crashed:
        crashed.setattr(file_deletions, "MAX_IMMEDIATE", 0)
        client.delete("/models/digits/versions/1")
    assert len(storage.keys("jobs")) == 1
    monkeypatch.setattr(file_deletions, "GRACE_SECONDS", -60)
    assert file_deletions.remove_remaining(sessions, storage) == 1
    assert storage.keys("jobs") == []
    assert session.scalars(select(FileDeletionRow.storage_key)).all() == []


def test_refused_deletion_keeps_all_files(client: TestClient, session: Session, storage: Storage, tmp_path: Path) -> None:
    version = make_version(session, artifacts=["model.onnx"])
    set_alias(session, version)
    put_files(storage, tmp_path / "files", version.job_id, "model.onnx")
    assert client.delete("/models/digits").status_code == 409
    assert len(storage.keys("jobs")) == 1
    assert session.scalars(select(ArtifactRow.name)).all() == ["model.onnx"]
