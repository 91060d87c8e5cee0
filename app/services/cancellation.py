"""Cancellation of jobs."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, case, literal, null, update
from sqlalchemy.orm import Session

from app.db.job_updates import update_returning
from app.db.session import db_now
from app.db.tables import JobRow, StatusType
from app.job_state import JobStatus
from app.services import job_events


def cancel_jobs(session: Session, *which: ColumnElement[bool]) -> Sequence[JobRow]:
    """Cancel the queued and stop the running jobs that meet all conditions; return them."""
    waits = JobRow.status == JobStatus.QUEUED
    cancelled, cancelling = (literal(status, StatusType) for status in (JobStatus.CANCELLED, JobStatus.CANCELLING))
    statement = update(JobRow).where(*which, JobRow.status.in_([JobStatus.QUEUED, JobStatus.RUNNING]))
    finished_at = case((waits, db_now()), else_=null())
    jobs = update_returning(session, statement.values(status=case((waits, cancelled), else_=cancelling), finished_at=finished_at))
    for job in jobs:
        if job.status == JobStatus.CANCELLED:
            job_events.record_done(session, job)
        else:
            job_events.record(session, job, "cancelling")
    session.flush()
    return jobs
