"""The last lines of the trainer of a job, which its supervisor stores with its heartbeats."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.db.session import db_now
from app.db.worker_tables import JobLogRow
from app.job_types.base import JobType
from app.services import jobs

MAX_LINES = 200


def store(session: Session, job_id: UUID, attempt: int, lines: Sequence[str]) -> None:
    """Replace the lines of a job, whose row the transaction has locked."""
    kept = [line.replace("\x00", "") for line in lines[-MAX_LINES:]]
    session.merge(JobLogRow(job_id=job_id, attempt=attempt, lines=kept, updated_at=db_now()))


def get(session: Session, job_id: UUID, job_type: JobType[Any]) -> JobLogRow | None:
    """Return the log of a job, None while it has none. Raise the type's error when there is no such job."""
    job = jobs.get(session, job_id, job_type)
    return session.get(JobLogRow, job.id)
