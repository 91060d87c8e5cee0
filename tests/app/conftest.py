"""Databases with real commits, for tests that need several connections."""

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session, sessionmaker

from app.db.session import SessionFactory, make_engine
from tests.support.databases import create_postgres_database, migrate


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def live_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the URL of a shared database that is never emptied: a test reads only its own rows."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('live')}/isthmus.db"
        migrate(url)
        return url
    return create_postgres_database(request.getfixturevalue("postgres_server"), "live")


@pytest.fixture
def live_sessions(live_database: str) -> Iterator[sessionmaker[Session]]:
    engine = make_engine(live_database)
    yield SessionFactory(engine)
    engine.dispose()
