"""Routes of jobs."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.orm import Session, sessionmaker

from app.api.deps import QueueDep, RequireJson, SessionDep, SessionsDep, SettingsDep, WatcherDep, error_responses
from app.errors import (
    IdempotencyConflict,
    IllegalTransition,
    IncompatibleDatasets,
    InvalidRequest,
    JobNotFound,
    UnsupportedContentType,
    UploadTooLarge,
)
from app.job_state import ENDED, JobStatus
from app.schemas.jobs import JobCreate, JobOut, ModelName
from app.schemas.pagination import Page
from app.schemas.trainer_messages import MetricPoint
from app.services import jobs

router = APIRouter(prefix="/jobs", tags=["jobs"])

IdempotencyKey = Annotated[
    str | None,
    Header(pattern=r"^[!-~]{1,255}$", description="Chosen by the caller: the same key and body again give the same job."),
]
After = Annotated[str | None, Query(max_length=500, description="`next` of the page before.")]
Wait = Annotated[float, Query(ge=0, le=60, description="Answer when the job changes, or after this many seconds.")]
MetricName = Annotated[str | None, Query(pattern=r"^[^\x00]{1,64}$", description="Only this series.")]


@router.post(
    "",
    status_code=202,
    dependencies=[RequireJson],
    responses=error_responses(InvalidRequest, IncompatibleDatasets, IdempotencyConflict, UploadTooLarge, UnsupportedContentType),
)
def submit_job(
    body: JobCreate,
    response: Response,
    session: SessionDep,
    queue: QueueDep,
    settings: SettingsDep,
    idempotency_key: IdempotencyKey = None,
) -> JobOut:
    """Queue one adaptation."""
    job = jobs.submit(session, queue, body, max_attempts=settings.max_attempts, key=idempotency_key)
    response.headers["Location"] = f"/jobs/{job.id}"
    return JobOut.of(job)


@router.get("", responses=error_responses(InvalidRequest))
def list_jobs(
    session: SessionDep,
    status: Annotated[list[JobStatus], Query(description="Any of these; may be repeated.")] = [],  # noqa: B006
    model: Annotated[ModelName | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: After = None,
) -> Page[JobOut]:
    """All jobs, newest first; the trials of a search are not listed beside it but in it."""
    rows, following = jobs.page(session, status, model, limit, after)
    return Page(data=[JobOut.of(row) for row in rows], next=following)


@router.get("/{job_id}", responses=error_responses(JobNotFound, InvalidRequest))
async def get_job(job_id: UUID, sessions: SessionsDep, watcher: WatcherDep, wait: Wait = 0) -> JobOut:
    """One job; with `wait`, as soon as anything about it is different. A job that has ended is answered at once."""
    job = await run_in_threadpool(_read, sessions, job_id)
    if wait and job.status not in ENDED:
        await watcher.wait_for_change(job_id, (job.status, job.updated_at), wait)
        job = await run_in_threadpool(_read, sessions, job_id)
    return job


def _read(sessions: "sessionmaker[Session]", job_id: UUID) -> JobOut:
    with sessions.begin() as session:
        return JobOut.of(jobs.get(session, job_id))


@router.post("/{job_id}/cancel", responses=error_responses(JobNotFound, IllegalTransition, InvalidRequest))
def cancel_job(job_id: UUID, session: SessionDep) -> JobOut:
    """Stop a job. A running one is `cancelling` until its worker has stopped it."""
    return JobOut.of(jobs.cancel(session, job_id))


@router.get("/{job_id}/metrics", response_model=Page[MetricPoint], responses=error_responses(JobNotFound, InvalidRequest))
def list_metrics(
    job_id: UUID,
    session: SessionDep,
    name: MetricName = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    after: After = None,
) -> dict[str, Any]:
    """The series of a job's metrics, by step."""
    points, following = jobs.metrics(session, job_id, name, limit, after)
    return {"data": points, "next": following}
