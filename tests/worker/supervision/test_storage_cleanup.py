"""Tests of the cleanup: orphaned files of ended jobs are deleted, files of versions stay."""

from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from app.db.session import db_now
from app.db.tables import JobRow, OutputRow
from app.job_state import ACTIVE, ENDED, JobStatus
from app.job_types.batch_prediction import BATCH_PREDICTION
from app.job_types.trial import TRIAL
from app.storage import Storage
from tests.support.factories import make_job, make_version
from worker.supervision import storage_cleanup
from worker.supervision.storage_cleanup import delete_orphaned_files

Sessions = sessionmaker[Session]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


def put(storage: Storage, file: Path, job_id: UUID, *names: str) -> None:
    for name in names:
        storage.put(f"jobs/{job_id}/{name}", file)


def stored(storage: Storage) -> list[str]:
    return sorted(storage.keys("jobs"))


def not_cleaned(sessions: Sessions) -> set[UUID]:
    with sessions() as session:
        return set(session.scalars(select(JobRow.id).where(JobRow.cleaned_at.is_(None))))


@pytest.mark.parametrize("status", sorted(ENDED))
def test_files_of_an_ended_job_without_checkpoint_are_deleted(
    sessions: Sessions, storage: Storage, file: Path, status: JobStatus
) -> None:
    with sessions.begin() as session:
        job_id = make_job(session, status=status, attempt=1).id
    put(storage, file, job_id, "1/artifacts/model.onnx", "1/artifacts/manifest.json.0f.partial")
    delete_orphaned_files(sessions, storage)
    assert stored(storage) == []
    assert not_cleaned(sessions) == set()


def test_artifacts_of_a_version_are_kept(sessions: Sessions, storage: Storage, file: Path) -> None:
    with sessions.begin() as session:
        job_id = make_version(session, artifacts=["model.onnx"]).job_id
    put(storage, file, job_id, "1/model.onnx", "1/checkpoint-5.pt", "2/model.onnx")
    delete_orphaned_files(sessions, storage)
    assert stored(storage) == [f"jobs/{job_id}/1/model.onnx"]


def test_output_of_a_prediction_is_kept(sessions: Sessions, storage: Storage, file: Path) -> None:
    with sessions.begin() as session:
        job_id = make_job(session, kind=BATCH_PREDICTION.name, status=JobStatus.SUCCEEDED, attempt=1).id
        key = f"jobs/{job_id}/1/predictions.csv"
        session.add(OutputRow(job_id=job_id, attempt=1, storage_key=key, digest="0" * 64, size_bytes=7, rows=1))
    put(storage, file, job_id, "1/predictions.csv", "1/part-1")
    delete_orphaned_files(sessions, storage)
    assert stored(storage) == [key]


@pytest.mark.parametrize("status", sorted(ACTIVE))
def test_jobs_that_have_not_ended_keep_what_they_have(
    sessions: Sessions, storage: Storage, file: Path, status: JobStatus
) -> None:
    with sessions.begin() as session:
        job_id = make_job(session, status=status).id
    put(storage, file, job_id, "1/checkpoint-5.pt")
    delete_orphaned_files(sessions, storage, abandoned_job_id=job_id)
    assert stored(storage) == [f"jobs/{job_id}/1/checkpoint-5.pt"]
    assert not_cleaned(sessions) == {job_id}


def test_jobs_are_cleaned_up_once_in_small_batches(
    sessions: Sessions, storage: Storage, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_cleanup, "MAX_JOBS", 2)
    with sessions.begin() as session:
        job_ids = {make_job(session, status=JobStatus.FAILED).id for _ in range(3)}
    delete_orphaned_files(sessions, storage)
    assert len(not_cleaned(sessions)) == 1
    delete_orphaned_files(sessions, storage)
    assert not_cleaned(sessions) == set()
    for job_id in job_ids:
        put(storage, file, job_id, "1/later")
    delete_orphaned_files(sessions, storage)
    assert len(stored(storage)) == 3


def test_files_stored_by_a_lost_attempt_after_cleanup_are_deleted(sessions: Sessions, storage: Storage, file: Path) -> None:
    with sessions.begin() as session:
        job_id = make_job(session, status=JobStatus.FAILED, cleaned_at=db_now()).id
    put(storage, file, job_id, "1/model.onnx")
    delete_orphaned_files(sessions, storage, abandoned_job_id=job_id)
    assert stored(storage) == []


def test_failed_storage_cleanup_is_retried(
    sessions: Sessions, storage: Storage, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sessions.begin() as session:
        job_id = make_job(session, status=JobStatus.FAILED).id
        session.execute(update(JobRow).values(checkpoint="jobs/some/1/checkpoint-5.pt"))
    put(storage, file, job_id, "1/model.onnx")

    def refuse(_: str) -> None:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(storage, "delete", refuse)
        delete_orphaned_files(sessions, storage)
    assert not_cleaned(sessions) == {job_id}
    delete_orphaned_files(sessions, storage)
    assert stored(storage) == []


def test_files_of_a_trial_are_kept_until_its_search_ends(sessions: Sessions, storage: Storage, file: Path) -> None:
    with sessions.begin() as session:
        search = make_job(session, status=JobStatus.RUNNING)
        child = {"kind": TRIAL.name, "parent_id": search.id, "trial": "1-0-mcc", "attempt": 1}
        child_id = make_job(session, status=JobStatus.SUCCEEDED, **child).id
    put(storage, file, child_id, "1/trial.pt")
    delete_orphaned_files(sessions, storage, abandoned_job_id=child_id)
    assert stored(storage) == [f"jobs/{child_id}/1/trial.pt"]
    with sessions.begin() as session:
        values = {"status": JobStatus.FAILED, "finished_at": db_now(), "lease_owner": None, "lease_expires_at": None}
        session.execute(update(JobRow).where(JobRow.id == search.id).values(values))
    delete_orphaned_files(sessions, storage)
    assert stored(storage) == []
    assert not_cleaned(sessions) == set()
