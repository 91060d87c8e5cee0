"""The sweep: it recovers jobs with expired leases, cancels orphaned trials, counts ended jobs and sends lost messages again."""

import time
from collections.abc import Callable

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from app.broker.queue import JobQueue
from app.db.session import db_now
from app.db.tables import JobRow
from app.errors import ServiceUnavailable
from app.job_state import JobStatus
from app.observability import job_totals
from app.services import leases, trials

log = structlog.get_logger()


class SuspensionGuard:
    """A guard against taking leases away after this machine was suspended: its workers were, too, and will renew them.

    A sweep that comes later than a lease lasts shows a suspension, or a forward step of the clock. No lease is taken away until
    each worker has had time for two heartbeats.
    """

    def __init__(self, lease_seconds: float, heartbeat_seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._lease_seconds = lease_seconds
        self._grace_seconds = 2 * heartbeat_seconds
        self._clock = clock
        self._last: float | None = None
        self._allowed_at = 0.0

    def allows_reaping(self) -> bool:
        """Return whether the sweep that begins now may requeue jobs with expired leases."""
        now, last = self._clock(), self._last
        self._last = now
        if last is not None and now - last > self._lease_seconds:
            log.warning("sweep.late", seconds=round(now - last))
            self._allowed_at = now + self._grace_seconds
        return now >= self._allowed_at


def sweep(sessions: sessionmaker[Session], queue: JobQueue, resend_seconds: float, *, reap: bool = True) -> None:
    """Run all parts of the sweep. Any number of processes may run it at the same time."""
    if reap:
        _requeue_expired(sessions)
    with sessions.begin() as session:
        orphans = trials.cancel_orphans(session)
    for job_id in orphans:
        log.info("trial.orphan_cancelled", job_id=str(job_id))
    with sessions.begin() as session:
        job_totals.count_ended(session)
    try:
        _resend(sessions, queue, resend_seconds)
    except ServiceUnavailable as error:
        log.warning("sweep.broker_unreachable", error=error.message)


def _requeue_expired(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        reaped = leases.requeue_expired(session)
    for job_id in reaped:
        log.warning("job.lease_expired", job_id=str(job_id))


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
