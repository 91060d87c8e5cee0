"""Retention: rows and files that the settings no longer keep are deleted, a bounded number at each sweep.

The sweep walks over models and over ended jobs, and remembers where it stopped. Versions with an alias or in use, and jobs whose
versions exist, are therefore passed once per round and not at every sweep.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import Select, delete, select, tuple_
from sqlalchemy.orm import Session, sessionmaker

from app.db.session import DatabaseClock, db_now
from app.db.tables import EventRow, JobRow, ModelRow, OutputRow, VersionRow
from app.job_state import ACTIVE
from app.job_types.trial import TRIAL
from app.services import deletion, file_deletions, job_events
from app.settings import Settings
from app.storage import Storage

log = structlog.get_logger()

MAX_MODELS = 50
MAX_VERSIONS = 100
MAX_EVENTS = 5000
MAX_OUTPUTS = 100
MAX_JOBS = 100
DAY = 24 * 3600


@dataclass
class Retention:
    """The sweeps of one process. Any number of processes may sweep at the same time."""

    settings: Settings
    sessions: "sessionmaker[Session]"
    storage: Storage
    _last_model: UUID | None = None
    _last_job: tuple[datetime | None, UUID] | None = None

    def sweep(self) -> None:
        """Delete some of what the settings no longer keep, then some of the files that should be gone."""
        settings = self.settings
        deleted = {
            "versions": self._delete_versions(settings.keep_versions) if settings.keep_versions else 0,
            "events": self._delete_events(settings.keep_events_days) if settings.keep_events_days else 0,
            "outputs": self._delete_outputs(settings.keep_outputs_days) if settings.keep_outputs_days else 0,
            "jobs": self._delete_jobs(settings.keep_jobs_days) if settings.keep_jobs_days else 0,
            "files": file_deletions.remove_remaining(self.sessions, self.storage),
        }
        if any(deleted.values()):
            log.info("retention.deleted", **deleted)

    def _delete_versions(self, kept: int) -> int:
        """Delete old versions of the next models, each in its own transaction, as it locks the registry revision."""
        with self.sessions.begin() as session:
            model_ids = self._next_models(session)
        return sum(self._delete_versions_of(model_id, kept) for model_id in model_ids)

    def _delete_versions_of(self, model_id: UUID, kept: int) -> int:
        with self.sessions.begin() as session:
            ids = _expired_versions(session, model_id, kept)
            if ids:
                deletion.remove_versions(session, self.storage, VersionRow.id.in_(ids))
        return len(ids)

    def _next_models(self, session: Session) -> Sequence[UUID]:
        query = select(ModelRow.id).order_by(ModelRow.id).limit(MAX_MODELS)
        if self._last_model is not None:
            query = query.where(ModelRow.id > self._last_model)
        ids = session.scalars(query).all()
        self._last_model = ids[-1] if len(ids) == MAX_MODELS else None
        return ids

    def _delete_events(self, days: int) -> int:
        """Delete old events of jobs that ended long ago, but not the last event of each."""
        old = EventRow.kind != job_events.DONE, EventRow.created_at < _ago(days), JobRow.finished_at < _ago(days)
        ids = select(EventRow.id).join(JobRow, JobRow.id == EventRow.job_id).where(*old)
        with self.sessions.begin() as session:
            chosen = session.scalars(ids.order_by(EventRow.created_at).limit(MAX_EVENTS)).all()
            session.execute(delete(EventRow).where(EventRow.id.in_(chosen)))
        return len(chosen)

    def _delete_outputs(self, days: int) -> int:
        old = select(OutputRow.job_id, OutputRow.storage_key).where(OutputRow.created_at < _ago(days))
        query = old.order_by(OutputRow.created_at).limit(MAX_OUTPUTS).with_for_update(skip_locked=True)
        with self.sessions.begin() as session:
            keys = {row.job_id: row.storage_key for row in session.execute(query)}
            session.execute(delete(OutputRow).where(OutputRow.job_id.in_(keys)))
            file_deletions.schedule(session, self.storage, keys.values())
        return len(keys)

    def _delete_jobs(self, days: int) -> int:
        with self.sessions.begin() as session:
            job_ids = self._next_jobs(session, days)
            if job_ids:
                deletion.remove_jobs(session, self.storage, job_ids)
        return len(job_ids)

    def _next_jobs(self, session: Session, days: int) -> Sequence[UUID]:
        """Return the next old jobs without versions and active trials, locked."""
        query = select(JobRow.finished_at, JobRow.id, JobRow.kind).where(JobRow.finished_at < _ago(days))
        if self._last_job is not None:
            query = query.where(tuple_(JobRow.finished_at, JobRow.id) > tuple_(*self._last_job))
        rows = session.execute(query.order_by(JobRow.finished_at, JobRow.id).limit(MAX_JOBS)).all()
        self._last_job = (rows[-1][0], rows[-1][1]) if len(rows) == MAX_JOBS else None
        passed = [job_id for _, job_id, kind in rows if kind != TRIAL.name]  # trials are deleted with their searches
        return session.scalars(_deletable(passed)).all()


def _ago(days: int) -> DatabaseClock:
    return db_now(-days * DAY)


def _deletable(job_ids: Sequence[UUID]) -> Select[UUID]:
    produced = select(VersionRow.job_id).where(VersionRow.job_id.in_(job_ids))
    searching = select(JobRow.parent_id).where(JobRow.parent_id.in_(job_ids), JobRow.status.in_(ACTIVE))
    query = select(JobRow.id).where(JobRow.id.in_(job_ids), JobRow.id.not_in(produced), JobRow.id.not_in(searching))
    return query.with_for_update(skip_locked=True)


def _expired_versions(session: Session, model_id: UUID, kept: int) -> Sequence[UUID]:
    """Return old versions of a model that nothing refers to, locked."""
    of_model = VersionRow.model_id == model_id
    newest = select(VersionRow.number).where(of_model).order_by(VersionRow.number.desc())
    oldest_kept = session.scalar(newest.offset(kept - 1).limit(1))
    if oldest_kept is None:
        return []
    unused = select(VersionRow.id).where(of_model, VersionRow.number < oldest_kept, deletion.is_unused())
    locked = unused.order_by(VersionRow.number).limit(MAX_VERSIONS).with_for_update(skip_locked=True)
    chosen = session.scalars(locked).all()
    # a job that named one of them may have been committed before the lock was taken
    return session.scalars(select(VersionRow.id).where(VersionRow.id.in_(chosen), deletion.is_unused())).all()
