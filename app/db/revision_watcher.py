"""A watcher of the registry revision: it detects the changes of other processes."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app.db.registry_revision import read_revision

log = structlog.get_logger()

INTERVAL_SECONDS = 0.25


class RevisionWatcher:
    """Calls `refresh` in a thread of its own after each change, and `tick` after each look at the revision.

    A refresh that fails, in any way, is repeated at the next look. `tick` is called even if the database is unreachable.
    """

    def __init__(self, engine: Engine, refresh: Callable[[], None], tick: Callable[[], None] | None = None) -> None:
        self._engine, self._refresh, self._tick = engine, refresh, tick
        self._seen: int | None = None
        self._thread = ThreadPoolExecutor(1, "revision")
        self._closed = asyncio.Event()
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop; wait for a running query, so that no connection outlives the engine."""
        self._closed.set()
        await asyncio.wait([self._watching])
        self._thread.shutdown(wait=False)

    async def _watch(self) -> None:
        failing = False
        while not self._closed.is_set():
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._look)
                failing = False
            except SQLAlchemyError as error:
                if not failing:
                    log.warning("database.unreachable", error=str(error))
                failing = True
            except Exception:  # a watcher that ended would miss all later changes
                if not failing:
                    log.exception("registry.refresh_failed")
                failing = True
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), INTERVAL_SECONDS)

    def _look(self) -> None:
        try:
            revision = read_revision(self._engine)
            if self._seen is not None and revision != self._seen:
                self._refresh()
            self._seen = revision
        finally:
            if self._tick is not None:
                self._tick()
