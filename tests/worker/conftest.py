"""Databases that other processes can see: what these tests commit is real, each has a database of its own."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from app.db.session import make_engine, make_sessions
from app.settings import Settings
from tests.conftest import ROOT, migrate


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database, to be copied."""
    path = tmp_path_factory.mktemp("empty") / "isthmus.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def worker_settings(tmp_path: Path, empty_sqlite: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A service of its own on SQLite, quick to notice things; its child processes can import the tests."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return quick_settings(data_dir=data_folder(tmp_path, empty_sqlite))


def data_folder(folder: Path, empty_sqlite: Path) -> Path:
    """With an empty database."""
    data = folder / "data"
    data.mkdir()
    shutil.copy(empty_sqlite, data / "isthmus.db")
    return data


def quick_settings(**fields: object) -> Settings:
    """Short times, so that nothing has to be waited for."""
    times = {"lease_seconds": 20, "heartbeat_seconds": 0.3, "sweep_seconds": 0.5, "resend_seconds": 2, "cancel_grace_seconds": 10}
    return Settings.model_validate({**times, **fields})


@pytest.fixture
def worker_sessions(worker_settings: Settings) -> Iterator[sessionmaker[Session]]:
    engine = make_engine(worker_settings.database)
    yield make_sessions(engine)
    engine.dispose()


@pytest.fixture
def database_name() -> str:
    return f"worker_{uuid.uuid4().hex[:12]}"
