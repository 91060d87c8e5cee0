"""Real PostgreSQL and real Redis for the whole run; every database is built by the migrations."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import pytest
from alembic import command
from alembic.config import Config
from fastapi.testclient import TestClient
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session, sessionmaker

from app.db.session import make_engine
from app.main import create_app
from app.settings import Settings
from app.storage import Storage
from tests.support import servers

ROOT = Path(__file__).parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"


class ListQueue:
    """A JobQueue that remembers what was sent."""

    def __init__(self) -> None:
        self.sent: list[UUID] = []

    def send(self, job_id: UUID) -> None:
        self.sent.append(job_id)

    def depth(self) -> int:
        return len(self.sent)

    def check(self) -> None:
        """A list is always there."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The many small files of the app come last: a long file at the end would leave the other processes without work."""
    items.sort(key=lambda item: item.path.is_relative_to(ROOT / "tests" / "app"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data sets beside a checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real data sets (../shared/data) are not beside this checkout")
    return SHARED_DATA


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Not under pytest's folder: as root the server has a user of its own, whom the next run of pytest would lock out there."""
    with TemporaryDirectory(prefix="postgres-") as folder, servers.postgres(Path(folder)) as url:
        yield url


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.RedisServer]:
    server = servers.RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


def create_postgres_database(server_url: str, name: str) -> str:
    """A fresh, migrated database on the server; returns its URL."""
    admin = create_engine(server_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    admin.dispose()
    url = server_url.replace("/postgres?", f"/{name}?")
    migrate(url)
    return url


def migrate(url: str) -> None:
    engine = make_engine(url)
    config = Config(toml_file=str(ROOT / "pyproject.toml"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Both databases: what uses this runs twice."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/isthmus.db"
        migrate(url)
    else:
        url = create_postgres_database(request.getfixturevalue("postgres_server"), "tests")
    engine = make_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(engine: Engine) -> Iterator[sessionmaker[Session]]:
    """Commits become savepoints of one outer transaction, which is rolled back: tests leave nothing."""
    with engine.connect() as connection:
        outer = connection.begin()
        yield sessionmaker(connection, join_transaction_mode="create_savepoint", expire_on_commit=False)
        outer.rollback()


@pytest.fixture
def session(sessions: sessionmaker[Session]) -> Iterator[Session]:
    with sessions() as session:
        yield session


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", _env_file=None)


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return Storage(settings.storage)


@pytest.fixture
def queue() -> ListQueue:
    return ListQueue()


@pytest.fixture
def client(settings: Settings, sessions: sessionmaker[Session], queue: ListQueue) -> Iterator[TestClient]:
    """The app over both databases, with a list for a queue; what it commits is rolled back after the test."""
    app = create_app(settings, queue)
    app.state.engine.dispose()
    app.state.sessions = sessions
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client
