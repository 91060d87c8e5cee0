"""The rules of jobs for callers: submission, reading and cancellation. The writes of workers are in `app.services.leases`.

Batch predictions and trials are jobs of other kinds (`app.job_types`) and use the same functions.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import sha256
from typing import Any
from uuid import UUID

import structlog
from pydantic import BaseModel
from sqlalchemy import ColumnElement, Select, event, select, union_all
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload, selectinload, undefer

from app.auth import audit
from app.broker.queue import JobQueue
from app.db.tables import JobRow, MetricRow, VersionRow
from app.errors import (
    FieldError,
    IdempotencyConflict,
    IllegalTransition,
    ServiceUnavailable,
)
from app.job_state import ENDED, JobStatus
from app.job_types.adaptation import ADAPTATION
from app.job_types.base import JobType
from app.schemas.jobs import JobCreate
from app.services import job_events, job_metrics, job_requests, pagination, quotas, trials
from app.services.cancellation import cancel_jobs

log = structlog.get_logger()
_NUMBER_OF_VERSION = joinedload(JobRow.version).load_only(VersionRow.number)
_POSITION = undefer(JobRow.position)
_SOURCES = selectinload(JobRow.further_sources)
_TRIALS = selectinload(JobRow.trials).load_only(JobRow.parent_id, JobRow.trial, JobRow.status)


def submit(session: Session, queue: JobQueue, request: JobCreate, *, max_attempts: int, key: str | None = None) -> JobRow:
    """Queue one adaptation. Raise InvalidRequest, IncompatibleDatasets, IdempotencyConflict."""
    return enqueue(session, queue, request, lambda: job_requests.build_row(session, request), max_attempts=max_attempts, key=key)


def enqueue(
    session: Session,
    queue: JobQueue,
    request: BaseModel,
    build: Callable[[], JobRow],
    *,
    max_attempts: int,
    key: str | None,
) -> JobRow:
    """Queue the job that `build` makes from the request, and notify a worker after the commit.

    The same key and request return the same job. Raise IdempotencyConflict, QuotaExceeded, and the errors of `build`.
    """
    digest = sha256(request.model_dump_json().encode()).hexdigest()
    existing = _submitted_before(session, key, digest)
    if existing is not None:
        return existing
    quotas.check_queued_jobs(session)
    quotas.check_stored_bytes(session)
    job = build()
    job.idempotency_key, job.request_digest, job.max_attempts = key, digest, max_attempts
    try:
        with session.begin_nested():
            session.add(job)
    except IntegrityError:  # another request has committed the same key meanwhile
        winner = _submitted_before(session, key, digest)
        if winner is None:
            raise
        return winner
    job_events.record(session, job, "queued")
    audit.record(session, f"{job.kind}.submit", f"jobs/{job.id} model {job.model_name}")
    session.flush()
    send_after_commit(session, queue, job.id)
    return job


def send_after_commit(session: Session, queue: JobQueue, job_id: UUID) -> None:
    """Send the job to a worker after the commit, so that no worker looks for a missing or rolled-back row."""

    def send(_: Session) -> None:
        try:
            queue.send(job_id)
        except ServiceUnavailable:  # the job is safe in the database, the sweep sends it later
            log.warning("job.not_sent", job_id=str(job_id))

    event.listen(session, "after_commit", send, once=True)


def get(session: Session, job_id: UUID, job_type: JobType[Any] = ADAPTATION) -> JobRow:
    """Return a job of this type. Raise the type's error when there is none."""
    query = select(JobRow).where(JobRow.id == job_id)
    return require(session.scalars(query.options(_NUMBER_OF_VERSION)).one_or_none(), job_id, job_type)


def require(job: JobRow | None, job_id: UUID, job_type: JobType[Any]) -> JobRow:
    """Return the job if it exists and has this type. Raise the type's error otherwise."""
    if job is None or job.kind != job_type.name:
        raise job_type.not_found(f"There is no {job_type.noun} {job_id}.")
    return job


def by_ids(session: Session, job_ids: Collection[UUID]) -> dict[UUID, JobRow]:
    """Return the jobs with these ids, of any type, with all that their responses show."""
    shown = (_NUMBER_OF_VERSION, _SOURCES, _TRIALS, _POSITION, joinedload(JobRow.output))
    query = select(JobRow).where(JobRow.id.in_(job_ids)).options(*shown)
    return {job.id: job for job in session.scalars(query)}


def page(
    session: Session,
    statuses: Sequence[JobStatus],
    model: str | None,
    limit: int,
    after: str | None,
    job_type: JobType[Any] = ADAPTATION,
) -> tuple[list[JobRow], str | None]:
    """Return one page of the jobs of one type, newest first, and the cursor of the next one."""
    query = select(JobRow).where(JobRow.kind == job_type.name).options(_NUMBER_OF_VERSION, _SOURCES, _TRIALS, _POSITION)
    if statuses or model is not None:
        filters = [JobRow.model_name == model] if model is not None else []
        newest = [_newest(job_type, status, filters, limit, after) for status in sorted({*statuses} or JobStatus)]
        query = query.where(JobRow.id.in_(select(union_all(*newest).subquery().c.id)))
    return pagination.page(session, query, JobRow, limit, after)


def _newest(
    job_type: JobType[Any], status: JobStatus, filters: Sequence[ColumnElement[bool]], limit: int, after: str | None
) -> Select[Any]:
    """Return a query of the ids on a page of one status. One query for each reads an index in order, not all matching jobs."""
    query = select(JobRow.id).where(JobRow.kind == job_type.name, JobRow.status == status, *filters)
    page_of_ids = pagination.keyset(query, JobRow, limit, after).subquery()
    return select(page_of_ids.c.id)


def cancel(session: Session, job_id: UUID, job_type: JobType[Any] = ADAPTATION) -> JobRow:
    """Cancel a queued job at once and a running one through its worker; repeat calls change nothing.

    The trials of a search are cancelled too. Raise the type's not-found error, and IllegalTransition for a job that has ended.
    """
    stopped = cancel_jobs(session, JobRow.id == job_id, JobRow.kind == job_type.name)
    if not stopped:
        return _cancelled_before(get(session, job_id, job_type))
    trials.stop_trials(session, job_id)
    audit.record(session, f"{job_type.name}.cancel", f"jobs/{job_id}")
    return stopped[0]


def change(session: Session, job_id: UUID, values: Mapping[str, Any], job_type: JobType[Any] = ADAPTATION) -> JobRow:
    """Set description or tags. Raise the type's not-found error."""
    job = get(session, job_id, job_type)
    for name, value in values.items():
        setattr(job, name, value)
    audit.record(session, f"{job_type.name}.change", f"jobs/{job_id}")
    session.flush()
    session.refresh(job)
    return job


def metrics(
    session: Session, job_id: UUID, name: str | None, limit: int, after: str | None, job_type: JobType[Any] = ADAPTATION
) -> tuple[Sequence[MetricRow], str | None]:
    """Return a page of the job's metrics by step and name, and the cursor of the next one. Raise JobNotFound."""
    get(session, job_id, job_type)
    return job_metrics.page(session, job_id, name, limit, after)


def _submitted_before(session: Session, key: str | None, digest: str) -> JobRow | None:
    if key is None:
        return None
    job = session.scalars(select(JobRow).where(JobRow.idempotency_key == key).options(_NUMBER_OF_VERSION)).one_or_none()
    if job is not None and job.request_digest != digest:
        raise IdempotencyConflict(errors=[FieldError("/header/idempotency-key", "used before with another request")])
    return job


def _cancelled_before(job: JobRow) -> JobRow:
    if job.status in ENDED - {JobStatus.CANCELLED}:
        raise IllegalTransition(f"The job has {job.status}; only queued and running jobs can be cancelled.")
    return job
