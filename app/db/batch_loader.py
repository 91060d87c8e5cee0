"""Read rows for many clients at once: all keys that are asked for during one query are read by the next one.

However many clients ask, one thread and one connection are in use. The thread is the loader's own, because the default threads of
the event loop may all be loading models. A key joins only a query that has not begun, so every client
sees what was committed before it asked.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from sqlalchemy.orm import Session

from app.db.session import SessionFactory

Key = TypeVar("Key")
Value = TypeVar("Value")


class BatchLoader(Generic[Key, Value]):
    """A reader of values by key. `load` returns the values of the keys that exist; it runs in a thread."""

    def __init__(
        self, sessions: Callable[[], SessionFactory], load: Callable[[Session, Collection[Key]], Mapping[Key, Value]]
    ) -> None:
        self._sessions, self._load = sessions, load
        self._pending: dict[Key, asyncio.Future[Value | None]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "batch-loader")

    async def get(self, key: Key) -> Value | None:
        """Return the value of a key, None if it does not exist. Raise SQLAlchemyError if the query fails."""
        future = self._pending.get(key)
        if future is None:
            future = self._pending[key] = asyncio.get_running_loop().create_future()
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read_pending())
        return await asyncio.shield(future)

    async def close(self) -> None:
        """Wait for a running query, so that no connection outlives the engine."""
        if self._reader is not None and not self._reader.done():
            await asyncio.wait([self._reader])
        self._thread.shutdown(wait=False)

    async def _read_pending(self) -> None:
        while self._pending:
            batch, self._pending = self._pending, {}
            try:
                values = await asyncio.get_running_loop().run_in_executor(self._thread, self._read, batch.keys())
            except Exception as error:  # noqa: BLE001  # each client gets the error of its query
                for future in batch.values():
                    future.set_exception(error)
            else:
                for key, future in batch.items():
                    future.set_result(values.get(key))

    def _read(self, keys: Collection[Key]) -> Mapping[Key, Value]:
        with self._sessions().for_reading() as session:
            return self._load(session, keys)
