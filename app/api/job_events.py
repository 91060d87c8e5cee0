"""Events of a job as server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header
from fastapi.sse import ServerSentEvent

from app.db.outages import OUTAGE_ERRORS
from app.db.tables import EventRow, JobRow
from app.job_state import ENDED
from app.job_types.base import JobType
from app.services import job_events
from app.services.job_watcher import JobWatcher

POLL_SECONDS = 60
LastEventId = Annotated[int, Header(ge=0, lt=2**63, description="Resume after this event. Browsers send it when they reconnect.")]


async def stream(
    watcher: JobWatcher, project: str, job_id: UUID, last_id: int, job_type: JobType[Any]
) -> AsyncIterator[ServerSentEvent]:
    """Yield the events of a job, from the one after `last_id` to the last."""
    try:
        async for row in _rows(watcher, project, job_id, last_id, job_type):
            data = row.content() | {"attempt": row.attempt, "created_at": row.created_at}
            yield ServerSentEvent(id=str(row.id), event=row.kind, data=data)
    except (*OUTAGE_ERRORS, job_type.not_found):
        return  # the database is unreachable, and the client reconnects and resumes; or the job was deleted


async def has_ended_before(watcher: JobWatcher, job: JobRow, last_id: int) -> bool:
    """Return whether a job has ended and its last event is not after `last_id`."""
    if job.status not in ENDED:
        return False
    rows = await watcher.events_after(job.id, last_id)
    return not rows or rows[-1].id <= last_id


async def _rows(watcher: JobWatcher, project: str, job_id: UUID, last_id: int, job_type: JobType[Any]) -> AsyncIterator[EventRow]:
    while True:
        job = await watcher.get(project, job_id, job_type)  # before its events, so that a later change wakes up the watcher
        rows = await watcher.events_after(job_id, last_id)
        for row in rows:
            yield row
            if row.kind == job_events.DONE:
                return
            last_id = row.id
        if job.status in ENDED and not rows:
            return
        if not rows:
            await watcher.wait_for_change(job_id, (job.status, job.updated_at), POLL_SECONDS)
