"""The Celery tasks, which only call plain functions. Imports no torch."""

from functools import cache
from typing import Any
from uuid import UUID

import structlog
from celery.signals import worker_process_init
from sqlalchemy.orm import Session, sessionmaker

from app.auth import audit
from app.broker.queue import RETENTION, RUN_JOB, SWEEP, CeleryQueue
from app.db.outages import OUTAGE_ERRORS
from app.db.session import SessionFactory, make_engine
from app.errors import StorageUnavailable
from app.services import webhook_deliveries
from app.services.retention import Retention
from worker.celery_app import celery, drain, settings
from worker.supervision import sweep
from worker.supervision.heartbeats import Heartbeats
from worker.supervision.supervisor import TRAINER, Supervisor
from worker.supervision.trainer_process import trainer_environment
from worker.supervision.trainer_template import TrainerTemplate, may_fork_trainers
from worker.webhooks.sender import WebhookSender

log = structlog.get_logger()
guard = sweep.SuspensionGuard(settings.lease_seconds, settings.heartbeat_seconds)


@celery.task(name=RUN_JOB)  # type: ignore[untyped-decorator]
def run_job(job_id: str) -> None:
    """Run this job unless another worker has it; drop a message without a valid id."""
    try:
        parsed = UUID(job_id)
    except (ValueError, AttributeError):
        log.warning("task.bad_job_id", job_id=repr(job_id)[:100])
        return
    with drain.on_sigterm():
        Supervisor(settings, sessions(), CeleryQueue(celery), drain, TRAINER, template()).run_job(parsed)


@celery.task(name=SWEEP)  # type: ignore[untyped-decorator]
def run_sweep() -> None:
    """Run the sweep, in the process of beat."""
    may_reap = guard.allows_reaping()
    try:
        sweep.sweep(sessions(), CeleryQueue(celery), settings.resend_seconds, reap=may_reap)
        with sessions().begin() as session:
            webhook_deliveries.delete_old(session, settings.webhook_delivery_days)
            audit.delete_old(session, settings.audit_days)
    except OUTAGE_ERRORS as error:
        log.warning("sweep.database_unreachable", error=str(error))


@worker_process_init.connect  # type: ignore[untyped-decorator]
def start_webhooks(**_: Any) -> None:
    """Send webhooks from the process that runs jobs; threads do not survive the fork that makes it."""
    WebhookSender(sessions, settings.webhook_private_addresses).start()


@worker_process_init.connect  # type: ignore[untyped-decorator]
def start_heartbeats(**_: Any) -> None:
    """Send heartbeats from the process that holds the leases."""
    Heartbeats(sessions, settings).start()


@worker_process_init.connect  # type: ignore[untyped-decorator]
def start_template(**_: Any) -> None:
    """Load the libraries of jobs beside the start of the worker."""
    template()


@cache
def template() -> TrainerTemplate | None:
    """Start the template of trainers on first use, which is in the main thread of the process that runs jobs."""
    return TrainerTemplate(trainer_environment(settings)) if may_fork_trainers(settings) else None


@celery.task(name=RETENTION)  # type: ignore[untyped-decorator]
def run_retention() -> None:
    """Delete what the settings no longer keep, in the process of beat."""
    try:
        retention().sweep()
    except (*OUTAGE_ERRORS, OSError, StorageUnavailable) as error:
        log.warning("retention.unreachable", error=str(error))


@cache
def retention() -> Retention:
    """Make the retention on first use; it remembers where its last sweep stopped."""
    return Retention(settings, sessions(), settings.open_storage())


@cache
def sessions() -> sessionmaker[Session]:
    """Make the session factory on first use, which is after the fork: processes share no connections."""
    return SessionFactory(make_engine(settings.database))
