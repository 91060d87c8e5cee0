"""Usage of the storage, and files that nothing refers to."""

import os
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from app.db.session import db_now
from app.db.tables import OutputRow
from app.job_state import JobStatus
from app.job_types.batch_prediction import BATCH_PREDICTION
from app.services import storage_usage
from app.storage import Storage
from tests.support.factories import make_dataset, make_job, make_version

Sessions = sessionmaker[Session]


@pytest.fixture
def stored(session: Session, storage: Storage, tmp_path: Path) -> list[str]:
    """Store files that rows refer to, and two old ones and a new one that nothing refers to; return the old ones."""
    dataset = make_dataset(session)
    deleted = make_dataset(session, deleted_at=db_now(), fingerprint=None)
    version = make_version(session, artifacts=["model.onnx"])
    version.job.cleaned_at = db_now()
    running = make_job(session, status=JobStatus.RUNNING)
    prediction = make_job(session, status=JobStatus.SUCCEEDED, kind=BATCH_PREDICTION.name, cleaned_at=db_now())
    output = f"jobs/{prediction.id}/1/predictions.csv"
    session.add(OutputRow(job_id=prediction.id, attempt=1, storage_key=output, digest="0" * 64, size_bytes=7, rows=1))
    session.commit()
    referenced = [dataset.storage_key, f"jobs/{version.job_id}/1/model.onnx", f"jobs/{running.id}/1/checkpoint-5.pt", output]
    left = [deleted.storage_key, f"jobs/{version.job_id}/2/model.onnx", "jobs/0/1/model.onnx", "datasets/data.csv.partial"]
    new = f"jobs/{prediction.id}/2/predictions.csv"
    (tmp_path / "file").write_bytes(b"content")
    for key in [*referenced, *left, new]:
        storage.put(key, tmp_path / "file")
        if key != new:
            os.utime(f"{storage.root}/{key}", (0, 0))
    return sorted(left)


def test_old_files_that_nothing_refers_to_are_found(sessions: Sessions, storage: Storage, stored: list[str]) -> None:
    assert sorted(file.key for file in storage_usage.unreferenced(sessions, storage)) == stored


def test_prune_deletes_exactly_the_unreferenced_files(sessions: Sessions, storage: Storage, stored: list[str]) -> None:
    before = {file.key for folder in storage_usage.FOLDERS for file in storage.files(folder)}
    assert sorted(file.key for file in storage_usage.prune(sessions, storage)) == stored
    assert {file.key for folder in storage_usage.FOLDERS for file in storage.files(folder)} == before - set(stored)
    assert list(storage_usage.prune(sessions, storage)) == []


def test_usage_is_listed_by_model_and_dataset(client: TestClient, session: Session, stored: list[str]) -> None:
    make_version(session, size_bytes=5)
    make_version(session, model="letters", size_bytes=9000)
    make_dataset(session, name="large", size_bytes=5000)
    session.commit()
    usage = client.get("/storage", params={"limit": 2}).json()
    totals = {one["name"]: (one["count"], one["size_bytes"]) for one in usage["totals"]}
    assert totals == {"datasets": (2, 6000), "encoders": (0, 0), "versions": (3, 10005), "outputs": (1, 7)}
    assert usage["models"] == [
        {"name": "letters", "count": 1, "size_bytes": 9000},
        {"name": "digits", "count": 2, "size_bytes": 1005},
    ]
    assert [one["size_bytes"] for one in usage["datasets"]] == [5000, 1000]
    assert usage["unreferenced"] is None
    scanned = client.get("/storage", params={"scan": True}).json()["unreferenced"]
    assert (scanned["count"], scanned["size_bytes"], sorted(scanned["keys"])) == (4, 28, stored)
