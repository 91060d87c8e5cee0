"""The loader that reads rows for many clients at once."""

import asyncio
import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy.orm import Session, sessionmaker

from app.db.batch_loader import BatchLoader
from app.db.session import SessionFactory


def _lengths(session: Session, keys: Collection[str]) -> dict[str, int]:
    return {key: len(key) for key in keys}


def test_values_are_read_while_all_default_threads_are_busy(live_sessions: sessionmaker[Session]) -> None:
    assert isinstance(live_sessions, SessionFactory)
    factory, release = live_sessions, threading.Event()

    async def scenario() -> int | None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        busy = asyncio.create_task(asyncio.to_thread(release.wait, 30))
        loader = BatchLoader(lambda: factory, _lengths)
        try:
            return await asyncio.wait_for(loader.get("four"), 10)
        finally:
            release.set()
            await busy
            await loader.close()

    assert asyncio.run(scenario()) == 4
