"""The writes of workers: claim a job, keep it, end it.

Every write is one conditional UPDATE ... RETURNING, fenced by the lease (attempt, owner), on the database's clock. If no row is
returned, the job was lost: the function returns None or False, nothing was written, and the worker stops. Nothing here commits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, String, case, cast, func, insert, literal, or_, select, update
from sqlalchemy.orm import Session

from app.db.job_updates import update_returning, update_returning_one
from app.db.session import db_now
from app.db.tables import EventRow, JobRow, MetricRow
from app.job_state import LEASED, JobStatus, sources_of
from app.job_types import JOB_TYPES
from app.job_types.base import JobResult
from app.schemas.trainer_messages import JobWarning, MetricPoint, Report
from app.services import job_events

MAX_MESSAGE_LENGTH = 10_000
MAX_PHASE_LENGTH = 64
KILLED = "killed"
"""The reason of another attempt after something other than this service has killed the process of a job."""
NO_LEASE: dict[str, Any] = {"lease_owner": None, "lease_expires_at": None}


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write to a job; `attempt` is the fencing token."""

    job_id: UUID
    attempt: int
    owner: str


def claim(session: Session, job_id: UUID, owner: str, lease_seconds: float) -> tuple[Lease, JobRow] | None:
    """Set a queued job to running in one statement; of two workers with the same message, one gets None."""
    statement = update(JobRow).where(JobRow.id == job_id, _can_become(JobStatus.RUNNING), JobRow.run_after <= db_now())
    progress = {"progress": 0.0, "first_progress": None, "reported_phase": None}
    fresh = {"attempt": JobRow.attempt + 1, "started_at": db_now(), **progress}
    leased = {"status": JobStatus.RUNNING, "lease_owner": owner, "lease_expires_at": db_now(lease_seconds)}
    job = update_returning_one(session, statement.values(fresh | leased))
    if job is None:
        return None
    job_events.record(session, job, "started", attempt=job.attempt, resumed=job.checkpoint is not None)
    session.flush()
    return Lease(job.id, job.attempt, owner), job


def next_waiting(session: Session, named: UUID) -> UUID | None:
    """Return and lock the waiting job to claim when the message of the job `named` arrives; None if none waits.

    It is a job of the project with the fewest running jobs: `named` if possible, otherwise the oldest. There are as many messages
    as waiting jobs, so every job gets its turn, and many jobs of one project do not delay those of the others.
    """
    running = (
        select(JobRow.project, func.count().label("jobs")).where(JobRow.status.in_(LEASED)).group_by(JobRow.project).subquery()
    )
    waiting = select(JobRow.id).outerjoin(running, running.c.project == JobRow.project)
    waiting = waiting.where(JobRow.status == JobStatus.QUEUED, JobRow.run_after <= db_now())
    by_need = func.coalesce(running.c.jobs, 0), case((JobRow.id == named, 0), else_=1), JobRow.created_at, JobRow.id
    return session.scalar(waiting.order_by(*by_need).limit(1).with_for_update(skip_locked=True, of=JobRow))


def heartbeat(session: Session, lease: Lease, lease_seconds: float, report: Report | None) -> JobStatus | None:
    """Extend the lease, store the report and return the status; None means that the lease was lost."""
    columns = _progress_columns(report) if report else {"updated_at": JobRow.updated_at}
    statement = update(JobRow).where(*_is_held_by(lease), JobRow.status.in_(LEASED))
    job = update_returning_one(session, statement.values(lease_expires_at=db_now(lease_seconds), **columns))
    if job is None:
        return None
    if report is not None:
        _store(session, job, report)
    session.flush()
    return job.status


def finish(session: Session, lease: Lease, result: JobResult) -> JobRow | None:
    """Set the job to succeeded together with all rows of its result; return it, or None if the lease was lost."""
    job = _end(session, lease, JobStatus.SUCCEEDED, progress=1.0)
    if job is None:
        return None
    job.metrics = job.metrics | result.metrics
    JOB_TYPES[job.kind].finish(session, job, result)
    job_events.record_done(session, job)
    session.flush()
    return job


def fail(session: Session, lease: Lease, code: str, message: str) -> bool:
    """Set the job to failed with an error that another attempt would repeat."""
    return _end_without_version(session, lease, JobStatus.FAILED, error_code=code, error_message=_clean(message))


def acknowledge_cancel(session: Session, lease: Lease) -> bool:
    """Set a job in `cancelling` to cancelled, after its trainer has stopped."""
    return _end_without_version(session, lease, JobStatus.CANCELLED)


def release(session: Session, lease: Lease, reason: str = "worker_drained", delay_seconds: float = 0) -> bool:
    """Requeue a job that its worker cannot go on with, without using up an attempt; cancel it if it is in `cancelling`.

    `max_attempts` grows instead of `attempt` shrinking, so that the fencing token never repeats.
    """
    statement = update(JobRow).where(*_is_held_by(lease), JobRow.status == JobStatus.RUNNING)
    later = {"run_after": db_now(delay_seconds), "max_attempts": JobRow.max_attempts + 1}
    job = update_returning_one(session, statement.values(_queued_again() | later))
    if job is None:
        return acknowledge_cancel(session, lease)
    job_events.record(session, job, "requeued", reason=reason)
    session.flush()
    return True


def retry(session: Session, lease: Lease, reason: str) -> bool:
    """Requeue the job for another attempt; return False if none is left or the job is being cancelled."""
    condition = *_is_held_by(lease), JobRow.status == JobStatus.RUNNING, _may_try_again()
    job = update_returning_one(session, update(JobRow).where(*condition).values(_tried_again()))
    if job is None:
        return False
    job_events.record(session, job, "requeued", reason=reason)
    session.flush()
    return True


def was_killed_before(session: Session, lease: Lease) -> bool:
    """Return whether an earlier attempt was repeated because its process was killed."""
    is_kill = EventRow.data["reason"].as_string() == KILLED
    query = select(EventRow.id).where(EventRow.job_id == lease.job_id, EventRow.kind == "requeued", is_kill)
    return session.scalars(query.limit(1)).first() is not None


def requeue_expired(session: Session) -> list[UUID]:
    """Requeue or end the jobs whose leases have expired; return their ids."""
    running, tries_left = JobRow.status == JobStatus.RUNNING, _may_try_again()
    lost = {"error_code": "worker_lost", "error_message": "The worker was lost in every attempt."}
    requeued = _reap(session, running & tries_left, _tried_again())
    failed = _reap(session, running & ~tries_left, _ended(JobStatus.FAILED) | lost)
    cancelled = _reap(session, JobRow.status == JobStatus.CANCELLING, _ended(JobStatus.CANCELLED))
    for job in requeued:
        job_events.record(session, job, "requeued", reason="lease_expired")
    for job in [*failed, *cancelled]:
        job_events.record_done(session, job)
    session.flush()
    return [job.id for job in [*requeued, *failed, *cancelled]]


def claim_unsent(session: Session, resend_seconds: float) -> list[UUID]:
    """Mark as sent, and return, the queued jobs that were not sent for `resend_seconds`, oldest first."""
    unsent = or_(JobRow.sent_at.is_(None), JobRow.sent_at <= db_now(-resend_seconds))
    waiting = select(JobRow.id).where(JobRow.status == JobStatus.QUEUED, JobRow.run_after <= db_now(), unsent)
    statement = update(JobRow).where(JobRow.id.in_(waiting.with_for_update(skip_locked=True)), unsent)
    jobs = update_returning(session, statement.values(sent_at=db_now(), updated_at=JobRow.updated_at))
    return [job.id for job in sorted(jobs, key=lambda job: job.created_at)]


def _is_held_by(lease: Lease) -> tuple[ColumnElement[bool], ...]:
    return JobRow.id == lease.job_id, JobRow.attempt == lease.attempt, JobRow.lease_owner == lease.owner


def _can_become(status: JobStatus) -> ColumnElement[bool]:
    return JobRow.status.in_(sources_of(status))


def _queued_again() -> dict[str, Any]:
    return {"status": JobStatus.QUEUED, "run_after": db_now(), "sent_at": None, **NO_LEASE}


def _moved_forward() -> ColumnElement[bool]:
    """Return whether the present attempt has stored a checkpoint; its key names the attempt."""
    of_attempt = literal("jobs/%/").concat(cast(JobRow.attempt, String)).concat("/%")
    return func.coalesce(JobRow.checkpoint.like(of_attempt), False)


def _may_try_again() -> ColumnElement[bool]:
    return or_(JobRow.attempt < JobRow.max_attempts, _moved_forward())


def _tried_again() -> dict[str, Any]:
    """Return the columns of a job whose attempt was lost. An attempt that moved a checkpoint forward is not held against it.

    A crash that repeats still ends the job: each attempt either counts or leaves less work to the next one.
    """
    return _queued_again() | {"max_attempts": JobRow.max_attempts + case((_moved_forward(), 1), else_=0)}


def _ended(status: JobStatus) -> dict[str, Any]:
    return {"status": status, "finished_at": db_now(), **NO_LEASE}


def _end(session: Session, lease: Lease, status: JobStatus, **values: Any) -> JobRow | None:
    statement = update(JobRow).where(*_is_held_by(lease), JobRow.status.in_(LEASED), _can_become(status))
    return update_returning_one(session, statement.values(_ended(status) | values))


def _end_without_version(session: Session, lease: Lease, status: JobStatus, **values: Any) -> bool:
    job = _end(session, lease, status, **values)
    if job is None:
        return False
    job_events.record_done(session, job)
    session.flush()
    return True


def _reap(session: Session, condition: ColumnElement[bool], values: dict[str, Any]) -> Sequence[JobRow]:
    """Update expired jobs, except rows that another sweep or a late heartbeat has locked."""
    expired = condition & (JobRow.lease_expires_at < db_now())
    free = select(JobRow.id).where(expired).with_for_update(skip_locked=True)
    return update_returning(session, update(JobRow).where(JobRow.id.in_(free), expired).values(values))


def _progress_columns(report: Report) -> dict[str, Any]:
    """Return columns for the heartbeat's UPDATE; within an attempt, progress only grows."""
    progress = min(max(report.progress, 0.0), 1.0)
    values: dict[str, Any] = {"progress": case((JobRow.progress > progress, JobRow.progress), else_=progress)}
    if progress or report.metrics or not report.phase:  # a trainer that only names its phase has not begun to train
        values["first_progress"] = func.coalesce(JobRow.first_progress, progress)
    if report.phase:
        values["reported_phase"] = report.phase[:MAX_PHASE_LENGTH]
    if report.training_precision:
        values["training_precision"] = func.coalesce(JobRow.training_precision, report.training_precision)
    return values | ({"checkpoint": report.checkpoint} if report.checkpoint else {})


def _store(session: Session, job: JobRow, report: Report) -> None:
    """Store the rest of a report; the heartbeat's UPDATE has locked the job's row."""
    points = [point for point in report.metrics if isfinite(point.value)]
    job.metrics = job.metrics | {point.name: point.value for point in points}
    job_events.record(session, job, "progress", progress=job.progress, phase=job.phase)
    if points:
        _store_metrics(session, job, points)
    for warning in report.warnings:
        _store_warning(session, job, warning)


def _store_metrics(session: Session, job: JobRow, points: Sequence[MetricPoint]) -> None:
    """Store points with their event. Points of an earlier report at the same step stay, for the event that reported them."""
    event = job_events.record(session, job, "metrics")
    session.flush()
    latest = {(point.name, point.step): point for point in points}
    owner = {"job_id": job.id, "event_id": event.id, "attempt": job.attempt}
    session.execute(insert(MetricRow), [owner | point.model_dump() for point in latest.values()])


def _store_warning(session: Session, job: JobRow, warning: JobWarning) -> None:
    """Store a warning once; a resumed attempt may report it again."""
    entry = {"code": warning.code, "message": _clean(warning.message)}
    if entry not in job.warnings:
        job.warnings = [*job.warnings, entry]
        job_events.record(session, job, "warning", **entry)


def _clean(message: str) -> str:
    """Return a message that PostgreSQL can store (no NUL), shortened at its start."""
    return message.replace("\x00", "")[-MAX_MESSAGE_LENGTH:]
