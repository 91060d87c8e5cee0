"""Databases with real commits, for tests that need several connections; versions of all modalities."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.orm import Session, sessionmaker

from app.db.session import SessionFactory, make_engine
from app.storage import Storage
from tests.support.databases import create_postgres_database, migrate

if TYPE_CHECKING:
    from tests.support.published_models import Exported


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


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> "dict[str, Exported]":
    """Return an exported network of each modality; most tests here need no torch, so it is imported when this is used."""
    from tests.support.published_models import CLASSES, EXAMPLES, export_network

    return {name: export_network(name, CLASSES, tmp_path_factory.mktemp(name)) for name in EXAMPLES}


@pytest.fixture
def models(session: Session, storage: Storage, networks: "dict[str, Exported]") -> "dict[str, Exported]":
    """Register the networks as versions of models that are named after the modalities."""
    from tests.support.published_models import store_version

    for name, exported in networks.items():
        store_version(session, storage, exported, name)
    return networks
