"""The database for requests: bounded threads and a bounded queue, so that many clients cannot block each other.

Context: FastAPI runs synchronous routes in one pool of threads. When all of them wait for a connection, or for the write lock of
SQLite, nothing can run that would release one. Decision: a request takes a slot before it may use the database, and waits for
it in the event loop, without a thread. Slots are fewer than connections. When too many requests wait, the next one gets 503
at once. Alternatives: an asynchronous driver (a second one for each database, and the same code as the workers twice); a
larger pool (moves the limit, does not remove it).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from anyio import CancelScope, CapacityLimiter, to_thread
from sqlalchemy.orm import Session

from app.db.projects import ScopedSessions
from app.db.session import SessionFactory
from app.errors import Overloaded

Result = TypeVar("Result")


class RequestDatabase:
    """The sessions of requests: at most `slots` at the same time, with at most `max_waiting` requests in line."""

    def __init__(self, sessions: Callable[[], SessionFactory], slots: int, max_waiting: int) -> None:
        self._sessions, self._max_waiting = sessions, max_waiting
        self._slots = asyncio.Semaphore(slots)
        self._threads = CapacityLimiter(slots)
        self._waiting = 0

    @asynccontextmanager
    async def transaction(self, *, reads_only: bool = False, info: Mapping[str, Any] | None = None) -> AsyncIterator[Session]:
        """Yield a session; commit when the block ends, roll back when it raises. Raise Overloaded when too many wait."""
        await self._acquire_slot()
        try:
            session = self._session(reads_only, info)
            try:
                yield session
                await self._in_thread(session.commit)
            finally:
                await self._in_thread(session.close)  # rolls back what is not committed
        finally:
            self._slots.release()

    async def run(
        self, work: Callable[[Session], Result], *, reads_only: bool = False, info: Mapping[str, Any] | None = None
    ) -> Result:
        """Call `work` in a thread with a session of its own transaction. Raise Overloaded when too many wait."""

        def transact() -> Result:
            with self._session(reads_only, info) as session, session.begin():
                return work(session)

        await self._acquire_slot()
        try:
            return await self._in_thread(transact)
        finally:
            self._slots.release()

    def _session(self, reads_only: bool, info: Mapping[str, Any] | None) -> Session:
        sessions = ScopedSessions(self._sessions(), info or {})
        return sessions.for_reading() if reads_only else sessions()

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        with CancelScope(shield=True):  # a transaction also ends when the client has gone
            result = await to_thread.run_sync(work, limiter=self._threads)
        return result  # for mypy, a cancel scope may end the block early

    async def _acquire_slot(self) -> None:
        if self._waiting >= self._max_waiting:
            raise Overloaded("Too many requests wait for the database. Try again.")
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1


@dataclass(frozen=True, slots=True)
class CallerDatabase:
    """The database as one caller sees it; `info` becomes part of `Session.info` (`app.db.projects`)."""

    database: RequestDatabase
    info: Mapping[str, Any]

    def transaction(self, *, reads_only: bool = False) -> AbstractAsyncContextManager[Session]:
        """Yield a session of the caller (`RequestDatabase.transaction`)."""
        return self.database.transaction(reads_only=reads_only, info=self.info)

    async def run(self, work: Callable[[Session], Result], *, reads_only: bool = False) -> Result:
        """Call `work` with a session of the caller (`RequestDatabase.run`)."""
        return await self.database.run(work, reads_only=reads_only, info=self.info)
