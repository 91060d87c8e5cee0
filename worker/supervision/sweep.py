"""The sweep: it recovers jobs with expired leases, cancels orphaned trials and sends lost messages again."""

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from app.broker.queue import JobQueue
from app.db.session import db_now
from app.db.tables import JobRow
from app.errors import ServiceUnavailable
from app.job_state import JobStatus
from app.services import leases, trials

log = structlog.get_logger()


def sweep(sessions: sessionmaker[Session], queue: JobQueue, resend_seconds: float) -> None:
    """Run all parts of the sweep. Any number of processes may run it at the same time."""
    with sessions.begin() as session:
        reaped = leases.requeue_expired(session)
    for job_id in reaped:
        log.warning("job.lease_expired", job_id=str(job_id))
    with sessions.begin() as session:
        orphans = trials.cancel_orphans(session)
    for job_id in orphans:
        log.info("trial.orphan_cancelled", job_id=str(job_id))
    try:
        _resend(sessions, queue, resend_seconds)
    except ServiceUnavailable as error:
        log.warning("sweep.broker_unreachable", error=error.message)


def _resend(sessions: sessionmaker[Session], queue: JobQueue, resend_seconds: float) -> None:
    """Send lost messages again.

    While as many messages as queued jobs wait, none is lost. Messages therefore do not accumulate before busy or dead workers.
    """
    with sessions() as session:
        waiting = session.scalar(select(func.count()).where(JobRow.status == JobStatus.QUEUED, JobRow.run_after <= db_now()))
    if not waiting or queue.depth() >= waiting:
        return
    with sessions.begin() as session:
        job_ids = leases.claim_unsent(session, resend_seconds)
    for job_id in job_ids:
        log.info("job.redelivered", job_id=str(job_id))
        queue.send(job_id)
