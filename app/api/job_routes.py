"""The routes that every kind of job has: submit, list, get, cancel, metrics, events.

Each kind is a resource of its own, with its own path, schemas and errors. It does not find the jobs of other kinds.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Protocol
from uuid import UUID

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Query, Request, Response, params
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.status import HTTP_204_NO_CONTENT

from app.api.authorization import HOLDS_STREAM, CallerDep, LimitsDep, check_again, may_read_on, requires
from app.api.deps import QueueDep, RequireJson, SessionDep, SettingsDep, StorageDep, WatcherDep, error_responses
from app.api.job_events import LastEventId, has_ended_before, stream
from app.auth.caller import Caller
from app.db.tables import JobRow
from app.errors import (
    IdempotencyConflict,
    IllegalTransition,
    InvalidRequest,
    JobInUse,
    QuotaExceeded,
    ServiceError,
    UnsupportedContentType,
    UploadTooLarge,
)
from app.job_state import ENDED, JobStatus
from app.job_types.base import JobType
from app.schemas.jobs import JobLog, ModelName
from app.schemas.labels import LabelsChange
from app.schemas.pagination import Page
from app.schemas.trainer_messages import MetricPoint
from app.services import deletion, job_logs, jobs
from app.settings import Settings

IdempotencyKey = Annotated[
    str | None,
    Header(pattern=r"^[!-~]{1,255}$", description="A key of your choice. The same key and body return the same job."),
]
After = Annotated[str | None, Query(max_length=500, description="`next` of the previous page.")]
Wait = Annotated[float, Query(ge=0, le=60, description="Respond when the job changes, or after this many seconds.")]
MetricName = Annotated[str | None, Query(pattern=r"^[^\x00]{1,64}$", description="Only the metric of this name.")]
EVENTS = "Events: `queued`, `started`, `progress`, `metrics`, `warning`, `cancelling`, `requeued`, `done` (always the last)."


class JobView(Protocol):
    """Response schema of a job."""

    @property
    def status(self) -> JobStatus: ...

    @property
    def updated_at(self) -> datetime: ...

    @classmethod
    def of(cls, row: JobRow) -> Any:
        """Return the response for a row."""


@dataclass(frozen=True, slots=True)
class Submission:
    """Who submits a job, and under which key."""

    caller: CallerDep
    settings: SettingsDep
    idempotency_key: IdempotencyKey = None


@dataclass(frozen=True, kw_only=True)
class JobResource:
    """One kind of job as an HTTP resource. `scopes` is the first part of its scopes; the notes complete the API docs."""

    job_type: JobType[Any]
    request: type[BaseModel]
    response: type[JobView]
    submit: Callable[..., JobRow]
    scopes: str
    check: Callable[[Any, Caller, Settings], None]
    """Raises Forbidden or InvalidRequest for a request that the key or the settings do not allow."""
    submit_errors: Sequence[type[ServiceError]] = ()
    list_note: str = ""
    metrics_note: str = ""
    delete_note: str = ""

    @property
    def read_scope(self) -> params.Depends:
        return requires(f"{self.scopes}:read")

    @property
    def write_scope(self) -> params.Depends:
        return requires(f"{self.scopes}:write")

    @property
    def noun(self) -> str:
        return self.job_type.noun

    @property
    def name(self) -> str:
        """Singular in snake case: the noun in operation ids and path parameters."""
        return self.noun.replace(" ", "_")

    @property
    def path(self) -> str:
        return self.job_type.path

    @property
    def item(self) -> str:
        return f"/{{{self.name}_id}}"

    @property
    def not_found(self) -> type[ServiceError]:
        return self.job_type.not_found


def job_routes(resource: JobResource) -> APIRouter:
    """Return a router with all routes of a resource."""
    router = APIRouter(prefix=resource.path, tags=[resource.job_type.tag])
    for add in (_add_submit, _add_list, _add_get, _add_change, _add_delete, _add_cancel, _add_metrics, _add_events, _add_log):
        add(router, resource)
    return router


def _add_submit(router: APIRouter, resource: JobResource) -> None:
    errors: list[type[ServiceError]] = [
        InvalidRequest,
        *resource.submit_errors,
        IdempotencyConflict,
        QuotaExceeded,
        UploadTooLarge,
        UnsupportedContentType,
    ]

    def submit(
        body: BaseModel, response: Response, session: SessionDep, queue: QueueDep, context: Annotated[Submission, Depends()]
    ) -> Any:
        resource.check(body, context.caller, context.settings)
        job = resource.submit(session, queue, body, max_attempts=context.settings.max_attempts, key=context.idempotency_key)
        response.headers["Location"] = f"{resource.path}/{job.id}"
        return resource.response.of(job)

    submit.__annotations__["body"] = resource.request  # FastAPI reads the schema of the body from the annotation
    router.post(
        "",
        name=f"submit_{resource.name}",
        description=f"Queue a {resource.noun}.",
        status_code=202,
        dependencies=[resource.write_scope, RequireJson],
        response_model=resource.response,
        responses=error_responses(*errors),
    )(submit)


def _add_list(router: APIRouter, resource: JobResource) -> None:
    @router.get(
        "",
        name=f"list_{resource.name}s",
        dependencies=[resource.read_scope],
        description=f"List all {resource.noun}s, newest first. {resource.list_note}".strip(),
        response_model=Page[resource.response],  # type: ignore[name-defined]  # a schema made at run time
        responses=error_responses(InvalidRequest),
    )
    def list_jobs(
        session: SessionDep,
        status: Annotated[list[JobStatus], Query(description="Any of these. May be repeated.")] = [],  # noqa: B006  # FastAPI copies it
        model: Annotated[ModelName | None, Query()] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        after: After = None,
    ) -> Any:
        rows, cursor = jobs.page(session, status, model, limit, after, resource.job_type)
        return {"data": [resource.response.of(row) for row in rows], "next": cursor}


def _add_get(router: APIRouter, resource: JobResource) -> None:
    @router.get(
        resource.item,
        name=f"get_{resource.name}",
        dependencies=[resource.read_scope],
        description=f"Return one {resource.noun}. With `wait`, respond when it changes; one that has ended is returned at once.",
        response_model=resource.response,
        responses=error_responses(resource.not_found, InvalidRequest),
    )
    async def get_job(
        job_id: Annotated[UUID, Path(alias=f"{resource.name}_id")],
        watcher: WatcherDep,
        caller: CallerDep,
        limits: LimitsDep,
        request: Request,
        wait: Wait = 0,
    ) -> Any:
        job = await watcher.get(caller.project, job_id, resource.job_type)
        if wait and job.status not in ENDED:
            with limits.streams.held():
                await watcher.wait_for_change(job_id, (job.status, job.updated_at), wait)
            await check_again(request)
            job = await watcher.get(caller.project, job_id, resource.job_type)
        return resource.response.of(job)


def _add_change(router: APIRouter, resource: JobResource) -> None:
    @router.patch(
        resource.item,
        name=f"change_{resource.name}",
        description=f"Change description or tags of a {resource.noun}.",
        dependencies=[resource.write_scope, RequireJson],
        response_model=resource.response,
        responses=error_responses(resource.not_found, InvalidRequest, UploadTooLarge, UnsupportedContentType),
    )
    def change_job(
        job_id: Annotated[UUID, Path(alias=f"{resource.name}_id")], body: LabelsChange, session: SessionDep, caller: CallerDep
    ) -> Any:
        _require_model(session, caller, job_id, resource)
        return resource.response.of(jobs.change(session, job_id, body.values(), resource.job_type))


def _add_delete(router: APIRouter, resource: JobResource) -> None:
    @router.delete(
        resource.item,
        name=f"delete_{resource.name}",
        description=f"Delete a {resource.noun} that has ended, with all that belongs to it. {resource.delete_note}".strip(),
        status_code=204,
        dependencies=[resource.write_scope],
        responses=error_responses(resource.not_found, JobInUse, InvalidRequest),
    )
    def delete_job(
        job_id: Annotated[UUID, Path(alias=f"{resource.name}_id")], session: SessionDep, storage: StorageDep, caller: CallerDep
    ) -> None:
        _require_model(session, caller, job_id, resource)
        deletion.delete_job(session, storage, job_id, resource.job_type)


def _add_cancel(router: APIRouter, resource: JobResource) -> None:
    @router.post(
        f"{resource.item}/cancel",
        name=f"cancel_{resource.name}",
        dependencies=[resource.write_scope],
        description=f"Cancel a {resource.noun}. A running one is `cancelling` until its worker has stopped it.",
        response_model=resource.response,
        responses=error_responses(resource.not_found, IllegalTransition, InvalidRequest),
    )
    def cancel_job(job_id: Annotated[UUID, Path(alias=f"{resource.name}_id")], session: SessionDep, caller: CallerDep) -> Any:
        _require_model(session, caller, job_id, resource)
        return resource.response.of(jobs.cancel(session, job_id, resource.job_type))


def _require_model(session: Session, caller: Caller, job_id: UUID, resource: JobResource) -> None:
    """Raise Forbidden if the patterns of the caller do not match the model of the job, or the error of a missing job."""
    caller.require_model(jobs.get(session, job_id, resource.job_type).model_name)


def _add_metrics(router: APIRouter, resource: JobResource) -> None:
    @router.get(
        f"{resource.item}/metrics",
        name=f"list_{resource.name}_metrics",
        dependencies=[resource.read_scope],
        description=f"List the metrics of a {resource.noun} by step. {resource.metrics_note}".strip(),
        response_model=Page[MetricPoint],
        responses=error_responses(resource.not_found, InvalidRequest),
    )
    def list_metrics(
        job_id: Annotated[UUID, Path(alias=f"{resource.name}_id")],
        session: SessionDep,
        name: MetricName = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
        after: After = None,
    ) -> Any:
        points, cursor = jobs.metrics(session, job_id, name, limit, after, resource.job_type)
        return {"data": points, "next": cursor}


def _add_log(router: APIRouter, resource: JobResource) -> None:
    @router.get(
        f"{resource.item}/logs",
        name=f"get_{resource.name}_log",
        dependencies=[resource.read_scope],
        description=f"Return the last lines of the process that ran the {resource.noun}: its phases and messages of libraries.",
        response_model=JobLog,
        responses=error_responses(resource.not_found, InvalidRequest),
    )
    def get_log(job_id: Annotated[UUID, Path(alias=f"{resource.name}_id")], session: SessionDep) -> Any:
        row = job_logs.get(session, job_id, resource.job_type)
        return JobLog(attempt=row.attempt, lines=row.lines) if row else JobLog(attempt=0, lines=[])


def _add_events(router: APIRouter, resource: JobResource) -> None:
    async def existing(
        job_id: Annotated[UUID, Path(alias=f"{resource.name}_id")],
        watcher: WatcherDep,
        caller: CallerDep,
        last_event_id: LastEventId = 0,
    ) -> UUID:
        """Check the id before the stream begins, while the response can still be another one."""
        job = await watcher.get(caller.project, job_id, resource.job_type)
        if last_event_id and await has_ended_before(watcher, job, last_event_id):
            raise HTTPException(HTTP_204_NO_CONTENT)
        return job.id

    @router.get(
        f"{resource.item}/events",
        name=f"stream_{resource.name}_events",
        dependencies=[resource.read_scope, HOLDS_STREAM],
        description=f"Stream the events of a {resource.noun}, all or those after `Last-Event-ID`. {EVENTS}",
        response_class=EventSourceResponse,
        responses={
            204: {"description": "The job has ended and all events were received: an `EventSource` stops connecting."},
            **error_responses(resource.not_found, InvalidRequest),
        },
    )
    async def stream_events(
        request: Request,
        job_id: Annotated[UUID, Depends(existing)],
        watcher: WatcherDep,
        caller: CallerDep,
        last_event_id: LastEventId = 0,
    ) -> AsyncIterator[ServerSentEvent]:
        async for event in stream(watcher, caller.project, job_id, last_event_id, resource.job_type):
            if not await may_read_on(request):
                return
            yield event
