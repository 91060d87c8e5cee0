"""The Celery tasks, which only call plain functions. Imports no torch."""

from functools import cache
from uuid import UUID

import structlog
from sqlalchemy.orm import Session, sessionmaker

from app.broker.queue import RUN_JOB, SWEEP, CeleryQueue
from app.db.outages import OUTAGE_ERRORS
from app.db.session import SessionFactory, make_engine
from worker.celery_app import celery, drain, settings
from worker.supervision import sweep
from worker.supervision.supervisor import TRAINER, Supervisor

log = structlog.get_logger()


@celery.task(name=RUN_JOB)  # type: ignore[untyped-decorator]
def run_job(job_id: str) -> None:
    """Run this job unless another worker has it; drop a message without a valid id."""
    try:
        parsed = UUID(job_id)
    except (ValueError, AttributeError):
        log.warning("task.bad_job_id", job_id=repr(job_id)[:100])
        return
    with drain.on_sigterm():
        Supervisor(settings, sessions(), CeleryQueue(celery), drain, TRAINER).run_job(parsed)


@celery.task(name=SWEEP)  # type: ignore[untyped-decorator]
def run_sweep() -> None:
    """Run the sweep, in the process of beat."""
    try:
        sweep.sweep(sessions(), CeleryQueue(celery), settings.resend_seconds)
    except OUTAGE_ERRORS as error:
        log.warning("sweep.database_unreachable", error=str(error))


@cache
def sessions() -> sessionmaker[Session]:
    """Make the session factory on first use, which is after the fork: processes share no connections."""
    return SessionFactory(make_engine(settings.database))
