"""Retention deletes what the settings no longer keep, a bounded number at each sweep, and nothing that is in use."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from app.db.session import db_now
from app.db.tables import AliasRow, EventRow, FileDeletionRow, JobRow, OutputRow, VersionRow
from app.job_state import JobStatus
from app.job_types.batch_prediction import BATCH_PREDICTION
from app.job_types.trial import TRIAL
from app.services import deletion, retention
from app.services.retention import DAY, Retention
from app.settings import Settings
from app.storage import Storage
from tests.support.factories import make_job, make_version

Sessions = sessionmaker[Session]


def sweep(sessions: Sessions, settings: Settings, storage: Storage, **kept: int) -> Retention:
    """Sweep once with these settings."""
    swept = Retention(settings.model_copy(update=kept), sessions, storage)
    swept.sweep()
    return swept


def numbers(session: Session, model: str = "digits") -> list[int]:
    query = select(VersionRow.number).join(VersionRow.model).where(VersionRow.model.has(name=model))
    return sorted(session.scalars(query))


def ended(session: Session, days: float, **fields: Any) -> JobRow:
    job = make_job(session, **{"status": JobStatus.FAILED, "finished_at": db_now(-days * DAY), **fields})
    session.add(EventRow(job_id=job.id, attempt=1, kind="progress", data={}, created_at=db_now(-days * DAY)))
    session.add(EventRow(job_id=job.id, attempt=1, kind="done", data={}, created_at=db_now(-days * DAY)))
    session.commit()
    return job


def test_defaults_keep_everything(session: Session, sessions: Sessions, settings: Settings, storage: Storage) -> None:
    for _ in range(3):
        make_version(session)
    job = ended(session, 1000)
    sweep(sessions, settings, storage)
    assert numbers(session) == [1, 2, 3]
    assert session.get(JobRow, job.id) is not None
    assert len(session.scalars(select(EventRow.id)).all()) == 2


def test_old_versions_are_deleted_except_aliased_and_used_ones(
    session: Session, sessions: Sessions, settings: Settings, storage: Storage
) -> None:
    first, second, *_ = [make_version(session, artifacts=["model.onnx"]) for _ in range(6)]
    make_version(session, model="letters")
    session.add(AliasRow(model_id=first.model_id, name="production", version_id=first.id))
    make_job(session, base_version_id=second.id)
    session.commit()
    sweep(sessions, settings, storage, keep_versions=2)
    assert (numbers(session), numbers(session, "letters")) == ([1, 2, 5, 6], [1])
    assert len(session.scalars(select(FileDeletionRow.storage_key)).all()) == 2


def test_sweeps_pass_all_models_in_small_batches(
    session: Session, sessions: Sessions, settings: Settings, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MAX_MODELS", 2)
    models = [f"model-{number}" for number in range(3)]
    for model in models:
        make_version(session, model=model)
        make_version(session, model=model)
    session.commit()
    swept = sweep(sessions, settings, storage, keep_versions=1)
    assert sorted(len(numbers(session, model)) for model in models) == [1, 1, 2]
    swept.sweep()
    assert [numbers(session, model) for model in models] == [[2]] * 3


def test_model_that_fails_keeps_no_other_from_losing_its_old_versions(
    session: Session, sessions: Sessions, settings: Settings, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = sorted(f"model-{number}" for number in range(3))
    for model in models:
        for _ in range(2):
            make_version(session, model=model)
    session.commit()
    remove, removed = deletion.remove_versions, []

    def remove_or_fail(*arguments: Any) -> None:
        removed.append(arguments)
        if len(removed) == 3:
            raise ConnectionError
        remove(*arguments)

    monkeypatch.setattr(deletion, "remove_versions", remove_or_fail)
    with pytest.raises(ConnectionError):
        sweep(sessions, settings, storage, keep_versions=1)
    assert sorted(numbers(session, model) for model in models) == [[1, 2], [2], [2]]


def test_old_events_are_deleted_except_the_last(
    session: Session, sessions: Sessions, settings: Settings, storage: Storage
) -> None:
    old, recent = ended(session, 11), ended(session, 9)
    sweep(sessions, settings, storage, keep_events_days=10)
    kinds = {
        job.id: session.scalars(select(EventRow.kind).where(EventRow.job_id == job.id).order_by(EventRow.id)).all()
        for job in (old, recent)
    }
    assert kinds == {old.id: ["done"], recent.id: ["progress", "done"]}


def test_old_outputs_are_deleted_with_their_files(
    session: Session, sessions: Sessions, settings: Settings, storage: Storage, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"content")
    for days in (11, 9):
        job = ended(session, days, status=JobStatus.SUCCEEDED, kind=BATCH_PREDICTION.name)
        key = f"jobs/{job.id}/1/predictions.csv"
        storage.put(key, tmp_path / "file")
        times = {"created_at": db_now(-days * DAY)}
        session.add(OutputRow(job_id=job.id, attempt=1, storage_key=key, digest="0" * 64, size_bytes=7, rows=1, **times))
    session.commit()
    sweep(sessions, settings, storage, keep_outputs_days=10)
    assert storage.keys("jobs") == session.scalars(select(OutputRow.storage_key)).all() == [key]


def test_old_jobs_are_deleted_except_those_of_versions(
    session: Session, sessions: Sessions, settings: Settings, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MAX_JOBS", 2)
    version = make_version(session)
    session.execute(update(JobRow).values(finished_at=db_now(-20 * DAY)))
    recent = ended(session, 9)
    search = ended(session, 11)
    ended(session, 11, kind=TRIAL.name, parent_id=search.id, trial="1-0-mcc")
    ended(session, 12)
    swept = sweep(sessions, settings, storage, keep_jobs_days=10)
    for _ in range(2):
        swept.sweep()
    assert set(session.scalars(select(JobRow.id))) == {version.job_id, recent.id}


def test_job_with_an_active_trial_is_kept(session: Session, sessions: Sessions, settings: Settings, storage: Storage) -> None:
    search = ended(session, 11)
    make_job(session, kind=TRIAL.name, parent_id=search.id, trial="1-0-mcc")
    session.commit()
    sweep(sessions, settings, storage, keep_jobs_days=10)
    assert session.get(JobRow, search.id) is not None
    assert search.finished_at is not None
    assert timedelta(days=10) < search.updated_at - search.finished_at
