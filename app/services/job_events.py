"""The events of a job, in order.

A writer inserts an event only after an UPDATE of the job's row in the same transaction. That row lock serialises all writers of
one job. Ids therefore become visible in order, and a reader that continues after the last id misses nothing. Without the lock,
PostgreSQL may show id 8 before id 7, whose transaction began earlier and commits later.
"""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from app.db.tables import EventRow, JobRow
from app.job_state import ENDED
from app.services import webhook_events

DONE = "done"
MAX_ROWS = 500
"""Events that one call returns; of `after_each`, for all positions together, but at least one for each."""


def record(session: Session, job: JobRow, kind: str, **data: Any) -> EventRow:
    """Add one event to `job`, whose row this transaction has updated or inserted, and return it."""
    event = EventRow(job_id=job.id, attempt=job.attempt, kind=kind, data=data)
    session.add(event)
    return event


def record_done(session: Session, job: JobRow) -> None:
    """Add the last event of a job, with the final state of its row, and the events for webhooks."""
    error = {"code": job.error_code, "message": job.error_message} if job.error_code else None
    version = {"model": job.model_name, "number": job.version.number} if job.version else None
    record(session, job, DONE, status=job.status, error=error, version=version)
    webhook_events.job_finished(session, job)


def after(session: Session, job: JobRow, last_id: int, limit: int = MAX_ROWS) -> Sequence[EventRow]:
    """Return the job's next events, oldest first; the last one again if the job has ended and there is no next one."""
    query = select(EventRow).where(EventRow.job_id == job.id).options(selectinload(EventRow.points))
    rows = session.scalars(query.where(EventRow.id > last_id).order_by(EventRow.id).limit(limit)).all()
    if not rows and job.status in ENDED:
        return session.scalars(query.order_by(EventRow.id.desc()).limit(1)).all()
    return rows


def after_each(session: Session, positions: Collection[tuple[UUID, int]]) -> dict[tuple[UUID, int], Sequence[EventRow]]:
    """Return the next events at each position, a job with the id of the last event that its reader has seen."""
    limit = max(1, MAX_ROWS // max(1, len(positions)))
    jobs = {job.id: job for job in session.scalars(select(JobRow).where(JobRow.id.in_([job_id for job_id, _ in positions])))}
    return {(job_id, last_id): after(session, jobs[job_id], last_id, limit) for job_id, last_id in positions if job_id in jobs}
