"""Routes of events."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy.orm import Session, sessionmaker

from app.api.deps import SessionsDep, WatcherDep, error_responses
from app.db.outages import OUTAGE_ERRORS
from app.db.tables import EventRow
from app.errors import InvalidRequest, JobNotFound
from app.job_state import ENDED
from app.job_types.adaptation import ADAPTATION
from app.job_types.base import JobType
from app.services import job_events, jobs
from app.services.job_watcher import JobVersion, JobWatcher

router = APIRouter(tags=["events"])

POLL_SECONDS = 60
LastEventId = Annotated[int, Header(ge=0, lt=2**63, description="Go on after this event; browsers send it when they reconnect.")]


def existing_job(job_id: UUID, sessions: SessionsDep) -> UUID:
    """Checked before the stream begins, while the answer can still be a problem document. Raises JobNotFound."""
    with sessions.begin() as session:
        return jobs.get(session, job_id).id


@router.get("/jobs/{job_id}/events", response_class=EventSourceResponse, responses=error_responses(JobNotFound, InvalidRequest))
async def stream_events(
    job_id: Annotated[UUID, Depends(existing_job)], sessions: SessionsDep, watcher: WatcherDep, last_event_id: LastEventId = 0
) -> AsyncIterator[ServerSentEvent]:
    """What happens to a job, from its first event or from the one after `Last-Event-ID`; `done` is always the last.

    Events: `queued`, `started`, `progress`, `metrics`, `warning`, `cancelling`, `requeued`, `done`.
    """
    async for event in stream(sessions, watcher, job_id, last_event_id, ADAPTATION):
        yield event


async def stream(
    sessions: "sessionmaker[Session]", watcher: JobWatcher, job_id: UUID, last_id: int, job_type: JobType[Any]
) -> AsyncIterator[ServerSentEvent]:
    """The events of a job of any kind, from the one after `last_id` to the last."""
    try:
        async for row in _rows(sessions, watcher, job_id, last_id, job_type):
            data = row.data | {"attempt": row.attempt, "created_at": row.created_at}
            yield ServerSentEvent(id=str(row.id), event=row.kind, data=data)
    except OUTAGE_ERRORS:  # the database is away: the stream breaks off, the client connects again and resumes
        return


async def _rows(
    sessions: "sessionmaker[Session]", watcher: JobWatcher, job_id: UUID, last_id: int, job_type: JobType[Any]
) -> AsyncIterator[EventRow]:
    while True:
        stamp, rows = await run_in_threadpool(_read, sessions, job_id, last_id, job_type)
        for row in rows:
            yield row
            if row.kind == job_events.DONE:
                return
            last_id = row.id
        if stamp[0] in ENDED and not rows:
            return
        if not rows:
            await watcher.wait_for_change(job_id, stamp, POLL_SECONDS)


def _read(
    sessions: "sessionmaker[Session]", job_id: UUID, last_id: int, job_type: JobType[Any]
) -> tuple[JobVersion, Sequence[EventRow]]:
    """The stamp first: what happens after it is seen now or wakes the watcher."""
    with sessions.begin() as session:
        job = jobs.get(session, job_id, job_type)
        return (job.status, job.updated_at), job_events.after(session, job, last_id)
