"""What ended jobs left in the storage: checkpoints, and whatever earlier attempts had stored.

A job that has ended and still names a checkpoint has leftovers; the name goes when they are gone. Workers look after each job
they ran, whoever ended it: only they are sure to have the storage.
"""

from collections.abc import Sequence

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from app.db.tables import JobRow
from app.job_state import ENDED, JobStatus
from app.storage import Storage

log = structlog.get_logger()

JOBS_AT_ONCE = 20


def remove_leftovers(sessions: sessionmaker[Session], storage: Storage) -> None:
    """Delete what nobody needs any more; the artifacts of versions stay."""
    with sessions() as session:
        jobs = session.scalars(select(JobRow).where(*_HAS_LEFTOVERS).limit(JOBS_AT_ONCE)).all()
    for job in jobs:
        for key in _keys(job):
            storage.delete(key)
        with sessions.begin() as session:
            session.execute(update(JobRow).where(JobRow.id == job.id).values(checkpoint=None, updated_at=JobRow.updated_at))
        log.info("job.leftovers_removed", ended_job_id=str(job.id))


_HAS_LEFTOVERS = (JobRow.status.in_(ENDED), JobRow.checkpoint.is_not(None))


def _keys(job: JobRow) -> Sequence[str]:
    if job.status is not JobStatus.SUCCEEDED:
        return [f"jobs/{job.id}"]
    earlier = [f"jobs/{job.id}/{attempt}" for attempt in range(1, job.attempt)]
    return [*earlier, str(job.checkpoint)]
