"""Read jobs and their events and wait for changes, for any number of callers, with one query at a time for all of them.

Decision: one poller for each process queries twice a second all jobs that callers wait for. No caller holds a thread, a
connection or a transaction while it waits. Polling works on both databases and across processes. Alternatives: LISTEN/NOTIFY
would be faster by a quarter of a second, on PostgreSQL only, for one more connection in each process.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from app.db.batch_loader import BatchLoader
from app.db.session import SessionFactory
from app.db.tables import EventRow, JobRow
from app.job_state import JobStatus
from app.job_types.base import JobType
from app.services import job_events, jobs

JobVersion = tuple[JobStatus, datetime]
"""Differs whenever something about a job changed that a caller can see."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    job_id: UUID
    seen: JobVersion
    changed: "asyncio.Future[None]"


class JobWatcher:
    """The poller of one process; it calls `sessions` for each query."""

    def __init__(self, sessions: Callable[[], SessionFactory], interval_seconds: float = 0.5) -> None:
        self._sessions = sessions
        self._jobs = BatchLoader(sessions, jobs.by_ids)
        self._events = BatchLoader(sessions, job_events.after_each)
        self._interval_seconds = interval_seconds
        self._thread = ThreadPoolExecutor(1, "job-watcher")
        self._waiters: set[_Waiter] = set()
        self._poller: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    async def get(self, project: str, job_id: UUID, job_type: JobType[Any]) -> JobRow:
        """Return a job of this project and type with all that responses show. Raise the type's error when there is none."""
        job = await self._jobs.get(job_id)  # together with the jobs of other callers, of any project
        return jobs.require(job if job is not None and job.project == project else None, job_id, job_type)

    async def events_after(self, job_id: UUID, last_id: int) -> Sequence[EventRow]:
        """Return the next events of a job (`job_events.after`)."""
        return await self._events.get((job_id, last_id)) or ()

    async def wait_for_change(self, job_id: UUID, seen: JobVersion, timeout_seconds: float) -> None:
        """Return when the job differs from `seen`, or after the timeout. Raise SQLAlchemyError if the query fails."""
        waiter = _Waiter(job_id, seen, asyncio.get_running_loop().create_future())
        self._waiters.add(waiter)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(waiter.changed, timeout_seconds)
        finally:
            self._waiters.discard(waiter)

    async def close(self) -> None:
        """Stop polling and wait for running queries, so that no connection outlives the engine."""
        self._closed.set()
        await self._jobs.close()
        await self._events.close()
        if self._poller is not None:
            await asyncio.wait([self._poller])
        self._thread.shutdown(wait=False)

    async def _poll(self) -> None:
        while self._waiters and not self._closed.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), self._interval_seconds)
            waiters = list(self._waiters)
            try:
                job_ids = {waiter.job_id for waiter in waiters}
                versions = await asyncio.get_running_loop().run_in_executor(self._thread, self._versions, job_ids)
            except SQLAlchemyError as error:
                _notify(waiters, error)
            else:
                _notify([waiter for waiter in waiters if versions.get(waiter.job_id) != waiter.seen])

    def _versions(self, job_ids: set[UUID]) -> dict[UUID, JobVersion]:
        query = select(JobRow.id, JobRow.status, JobRow.updated_at).where(JobRow.id.in_(job_ids))
        with self._sessions().for_reading() as session:
            return {job_id: (status, updated_at) for job_id, status, updated_at in session.execute(query)}


def _notify(waiters: list[_Waiter], error: SQLAlchemyError | None = None) -> None:
    for waiter in waiters:
        if waiter.changed.done():
            continue
        if error is None:
            waiter.changed.set_result(None)
        else:
            waiter.changed.set_exception(error)
