"""Deletion of the files of ended jobs: checkpoints, and files of attempts that belong to no version and no output.

The files of a trial stay until its search has ended. `cleaned_at` is null until an ended job was cleaned up. Workers clean up
after each job they ran, because only workers are certain to reach the storage.
"""

from collections.abc import Set
from uuid import UUID

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session, aliased, sessionmaker

from app import storage_keys
from app.db.session import db_now
from app.db.tables import ArtifactRow, JobRow, OutputRow, VersionRow
from app.errors import StorageUnavailable
from app.job_state import ACTIVE
from app.storage import Storage

log = structlog.get_logger()

MAX_JOBS = 20
_Parent = aliased(JobRow)


def delete_orphaned_files(sessions: sessionmaker[Session], storage: Storage, abandoned_job_id: UUID | None = None) -> None:
    """Delete the files of ended jobs that belong to no version and no output.

    It handles the newest ended jobs that were not cleaned up, and `abandoned_job_id`: the trainer of that job may have stored
    files after another worker had cleaned up. An unreachable storage is retried at the next call.
    """
    for job_id, kept in _due(sessions, abandoned_job_id).items():
        try:
            _clean(storage, storage_keys.job_folder(job_id), kept)
        except (OSError, StorageUnavailable) as error:
            log.warning("job.files_not_deleted", ended_job_id=str(job_id), error=str(error))
            return
        with sessions.begin() as session:
            done = {"checkpoint": None, "cleaned_at": db_now(), "updated_at": JobRow.updated_at}
            session.execute(update(JobRow).where(JobRow.id == job_id).values(done))
        log.info("job.files_deleted", ended_job_id=str(job_id))


def due_jobs(session: Session, abandoned_job_id: UUID | None) -> list[UUID]:
    """Return the abandoned job, if it has ended, and the newest ended jobs that were not cleaned up."""
    searches = select(_Parent.id).where(_Parent.status.in_(ACTIVE))
    needed = JobRow.parent_id.is_not(None) & JobRow.parent_id.in_(searches)
    ended = select(JobRow.id).where(JobRow.finished_at.is_not(None), ~needed)  # a condition on the status misleads SQLite
    newest = ended.where(JobRow.cleaned_at.is_(None)).order_by(JobRow.finished_at.desc())
    abandoned = session.scalars(ended.where(JobRow.id == abandoned_job_id)).all()
    return [*abandoned, *session.scalars(newest.limit(MAX_JOBS))]


def _due(sessions: sessionmaker[Session], abandoned_job_id: UUID | None) -> dict[UUID, set[str]]:
    """Return the jobs to clean up, each with the storage keys to keep."""
    with sessions() as session:
        keys_by_job: dict[UUID, set[str]] = {job_id: set() for job_id in due_jobs(session, abandoned_job_id)}
        of_versions = select(VersionRow.job_id, ArtifactRow.storage_key).join_from(VersionRow, ArtifactRow)
        outputs = select(OutputRow.job_id, OutputRow.storage_key).where(OutputRow.job_id.in_(keys_by_job))
        for job_id, key in session.execute(of_versions.where(VersionRow.job_id.in_(keys_by_job)).union_all(outputs)):
            keys_by_job[job_id].add(key)
    return keys_by_job


def _clean(storage: Storage, prefix: str, keep: Set[str]) -> None:
    if not keep:
        storage.delete(prefix)
        return
    for key in storage.keys(prefix):
        if key not in keep:
            storage.delete(key)
