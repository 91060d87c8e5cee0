"""Slots of the database for requests, on a database with real commits."""

import asyncio
import threading
from functools import partial

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from app.db.request_database import RequestDatabase
from app.db.session import SessionFactory
from app.db.tables import ModelRow
from app.errors import Overloaded
from tests.support.factories import make_version


@pytest.fixture
def factory(live_sessions: sessionmaker[Session]) -> SessionFactory:
    assert isinstance(live_sessions, SessionFactory)
    return live_sessions


def _count(session: Session, name: str) -> int:
    return session.scalar(select(func.count()).where(ModelRow.name == name)) or 0


def test_work_is_committed_and_failed_work_rolled_back(factory: SessionFactory) -> None:
    database = RequestDatabase(lambda: factory, slots=1, max_waiting=5)

    def fail(session: Session) -> None:
        make_version(session, model="rolled-back")
        raise LookupError

    async def scenario() -> tuple[int, int]:
        await database.run(partial(make_version, model="committed"))
        with pytest.raises(LookupError):
            await database.run(fail)
        counts = [await database.run(partial(_count, name=name), reads_only=True) for name in ("committed", "rolled-back")]
        return counts[0], counts[1]

    assert asyncio.run(scenario()) == (1, 0)


def test_caller_beyond_the_queue_is_refused_at_once(factory: SessionFactory) -> None:
    database = RequestDatabase(lambda: factory, slots=1, max_waiting=1)
    release = threading.Event()

    async def scenario() -> None:
        working = asyncio.create_task(database.run(lambda _: release.wait(30)))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(database.run(partial(_count, name="none")))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await database.run(lambda _: None)
        release.set()
        assert await working
        assert await waiting == 0

    asyncio.run(scenario())


def test_cancelled_caller_frees_its_slot(factory: SessionFactory) -> None:
    database = RequestDatabase(lambda: factory, slots=1, max_waiting=1)
    release = threading.Event()

    async def scenario() -> int:
        working = asyncio.create_task(database.run(lambda _: release.wait(30)))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(database.run(lambda _: None))
        await asyncio.sleep(0)
        waiting.cancel()
        working.cancel()
        release.set()
        await asyncio.wait([working, waiting])
        return await database.run(partial(_count, name="none"))

    assert asyncio.run(scenario()) == 0


def test_reader_does_not_wait_for_the_writer(factory: SessionFactory) -> None:
    database = RequestDatabase(lambda: factory, slots=2, max_waiting=1)

    async def scenario() -> int:
        async with database.transaction() as session:
            await asyncio.to_thread(make_version, session, model="unfinished")
            seen = await asyncio.wait_for(database.run(partial(_count, name="unfinished"), reads_only=True), 10)
            session.rollback()
        return seen

    assert asyncio.run(scenario()) == 0
