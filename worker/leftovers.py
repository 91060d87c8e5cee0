"""What ended jobs left in the storage: checkpoints, and whatever earlier attempts had stored.

A job that has ended and still names a checkpoint has leftovers; the name goes when they are gone. Workers look after each job
they ran, whoever ended it: only they are sure to have the storage.
"""

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from app.db.tables import ArtifactRow, JobRow, VersionRow
from app.job_state import ENDED
from app.storage import Storage

log = structlog.get_logger()

JOBS_AT_ONCE = 20
HAS_LEFTOVERS = (JobRow.status.in_(ENDED), JobRow.checkpoint.is_not(None))


def remove_leftovers(sessions: sessionmaker[Session], storage: Storage) -> None:
    """Delete what nobody needs any more; the artifacts of versions stay."""
    with sessions() as session:
        job_ids = session.scalars(select(JobRow.id).where(*HAS_LEFTOVERS).limit(JOBS_AT_ONCE)).all()
        artifacts = set(session.scalars(select(ArtifactRow.storage_key).join(VersionRow).where(VersionRow.job_id.in_(job_ids))))
    for job_id in job_ids:
        for key in storage.keys(f"jobs/{job_id}"):
            if key not in artifacts:
                storage.delete(key)
        with sessions.begin() as session:
            session.execute(update(JobRow).where(JobRow.id == job_id).values(checkpoint=None, updated_at=JobRow.updated_at))
        log.info("job.leftovers_removed", ended_job_id=str(job_id))
