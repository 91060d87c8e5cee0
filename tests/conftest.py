"""Real PostgreSQL and real Redis for the whole run; every database is built by the migrations."""

import gc
import logging
import uuid
from collections.abc import Iterator
from functools import partialmethod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import pytest
import structlog
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from app.db.session import SessionFactory, make_engine
from app.main import create_app
from app.settings import Settings
from app.storage import Storage
from tests.support import servers
from tests.support.databases import create_postgres_database, migrate
from tests.support.list_queue import ListQueue
from tests.support.markers import add_markers, repeats_a_case_on_postgres
from tests.support.paths import ROOT, SHARED_CASES, SHARED_DATA
from tests.support.quick_settings import data_folder, quick_settings
from tests.support.shared_routes import shared_routes


def pytest_itemcollected(item: pytest.Item) -> None:
    """Set the markers by which `make test-fast` selects."""
    add_markers(item)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Omit repeated cases on PostgreSQL. Run the many small files of the app last, so that no process waits for a long file."""
    seen = set[tuple[Path, str]]()
    items[:] = [item for item in items if not repeats_a_case_on_postgres(item, seen)]
    items.sort(key=lambda item: item.path.is_relative_to(ROOT / "tests" / "app"))


def pytest_collection_finish() -> None:
    """Exclude all imported modules from garbage collection, which would take 0.3 s again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def routes_are_shared() -> Iterator[None]:
    with shared_routes():
        yield


@pytest.fixture(scope="session", autouse=True)
def local_test_clients() -> Iterator[None]:
    """Let each `TestClient` send its requests to localhost: the server does not answer to Starlette's default host."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TestClient, "__init__", partialmethod(TestClient.__init__, base_url="http://localhost"))
        yield


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Undo the configuration of logs by a test, such as one that runs a command in this process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of the real datasets beside a checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real datasets (../shared/data) are not beside this checkout")
    return SHARED_DATA


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """Return the folder of inputs that were once misinterpreted, beside a checkout."""
    if not SHARED_CASES.is_dir():
        pytest.skip("the misinterpreted inputs (../shared/cases) are not beside this checkout")
    return SHARED_CASES


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Start PostgreSQL outside pytest's folder: a server started by root has its own user, which cannot read that folder."""
    with TemporaryDirectory(prefix="postgres-") as folder, servers.postgres(Path(folder)) as url:
        yield url


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.RedisServer]:
    server = servers.RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.S3Server]:
    server = servers.S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Open a migrated database of each kind; tests that use this fixture run twice."""
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
    """Turn commits into savepoints of one outer transaction, and roll it back after the test."""
    with engine.connect() as connection:
        outer = connection.begin()
        yield SessionFactory(connection, join_transaction_mode="create_savepoint")
        outer.rollback()


@pytest.fixture
def session(sessions: sessionmaker[Session]) -> Iterator[Session]:
    with sessions() as session:
        yield session


@pytest.fixture
def fast_path() -> Literal["on", "off"]:
    """Mode of the fast path. Modules about prediction routes override this by parametrisation, to run in both modes."""
    return "on"


@pytest.fixture
def settings(tmp_path: Path, fast_path: Literal["on", "off"]) -> Settings:
    return Settings(data_dir=tmp_path / "data", fast_path=fast_path, _env_file=None)


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return settings.open_storage()


@pytest.fixture
def queue() -> ListQueue:
    return ListQueue()


@pytest.fixture
def client(settings: Settings, sessions: sessionmaker[Session], queue: ListQueue) -> Iterator[TestClient]:
    """Serve the app on both databases with a queue in memory; roll back its commits after the test."""
    app = create_app(settings, queue)
    app.state.engine.dispose()
    app.state.sessions = sessions
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a migrated SQLite database for copies."""
    path = tmp_path_factory.mktemp("empty") / "isthmus.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def worker_settings(tmp_path: Path, empty_sqlite: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings with SQLite and short intervals; child processes can import the tests."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return quick_settings(data_dir=data_folder(tmp_path, empty_sqlite))


@pytest.fixture
def worker_sessions(worker_settings: Settings) -> Iterator[sessionmaker[Session]]:
    engine = make_engine(worker_settings.database)
    yield SessionFactory(engine)
    engine.dispose()


@pytest.fixture
def database_name() -> str:
    return f"worker_{uuid.uuid4().hex[:12]}"
