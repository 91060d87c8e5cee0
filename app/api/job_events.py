"""Events of a job as server-sent events."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import ServerSentEvent
from sqlalchemy.orm import Session, sessionmaker

from app.db.outages import OUTAGE_ERRORS
from app.db.tables import EventRow
from app.job_state import ENDED
from app.job_types.base import JobType
from app.services import job_events, jobs
from app.services.job_watcher import JobVersion, JobWatcher

POLL_SECONDS = 60
LastEventId = Annotated[int, Header(ge=0, lt=2**63, description="Resume after this event. Browsers send it when they reconnect.")]


async def stream(
    sessions: "sessionmaker[Session]", watcher: JobWatcher, job_id: UUID, last_id: int, job_type: JobType[Any]
) -> AsyncIterator[ServerSentEvent]:
    """Yield the events of a job, from the one after `last_id` to the last."""
    try:
        async for row in _rows(sessions, watcher, job_id, last_id, job_type):
            data = row.data | {"attempt": row.attempt, "created_at": row.created_at}
            yield ServerSentEvent(id=str(row.id), event=row.kind, data=data)
    except OUTAGE_ERRORS:  # the database is unreachable: the stream ends, the client reconnects and resumes
        return


async def _rows(
    sessions: "sessionmaker[Session]", watcher: JobWatcher, job_id: UUID, last_id: int, job_type: JobType[Any]
) -> AsyncIterator[EventRow]:
    while True:
        version, rows = await run_in_threadpool(_read, sessions, job_id, last_id, job_type)
        for row in rows:
            yield row
            if row.kind == job_events.DONE:
                return
            last_id = row.id
        if version[0] in ENDED and not rows:
            return
        if not rows:
            await watcher.wait_for_change(job_id, version, POLL_SECONDS)


def _read(
    sessions: "sessionmaker[Session]", job_id: UUID, last_id: int, job_type: JobType[Any]
) -> tuple[JobVersion, Sequence[EventRow]]:
    """Return version and events. The version is read first, so that a later change wakes up the watcher."""
    with sessions.begin() as session:
        job = jobs.get(session, job_id, job_type)
        return (job.status, job.updated_at), job_events.after(session, job, last_id)
