"""Cached references: changes by this process and by others, and database outages."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from app.db.session import SessionFactory, make_engine
from app.db.tables import AliasRow, ModelRow, RegistryRevisionRow, VersionRow
from app.errors import StorageUnavailable
from app.main import create_app
from app.serving.loaded_model import LoadedModel
from app.serving.model_loader import ModelLoader
from app.settings import Settings
from app.storage import Storage
from tests.support.databases import create_postgres_database
from tests.support.list_queue import ListQueue
from tests.support.published_models import Exported, add_int8, export_network, store_version
from tests.support.servers import PostgresServer

SOON = 5.0
"""Maximum seconds until a change reaches other processes; longer than the promised second, for busy machines."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_network("text", ["bad", "good"], tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def with_copy(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    exported = export_network("text", ["bad", "good"], tmp_path_factory.mktemp("with_copy"))
    add_int8(exported)
    return exported


@pytest.fixture
def served(live_database: str, settings: Settings) -> Iterator[TestClient]:
    app = create_app(settings.model_copy(update={"database_url": live_database}), ListQueue())
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def version_of(client: TestClient, reference: str, **more: str) -> int:
    answer = client.post("/predict", json={"model": reference, "inputs": ["fine"], **more})
    assert answer.status_code == 200, answer.text
    number: int = answer.json()["version"]
    return number


def serve_first_of_two(
    served: TestClient, sessions: "sessionmaker[Session]", storage: Storage, exported: Exported, model: str
) -> None:
    """Store two versions, and let `production` stand for the first."""
    with sessions() as session:
        for _ in range(2):
            store_version(session, storage, exported, model)
    assert served.put(f"/models/{model}/aliases/production", json={"version": 1}).status_code == 200
    assert version_of(served, f"{model}@production") == 1


def move_in_another_process(sessions: "sessionmaker[Session]", model: str, number: int) -> None:
    """Commit a change as another process would."""
    with sessions.begin() as session:
        query = select(VersionRow).join(ModelRow).where(ModelRow.name == model, VersionRow.number == number)
        version = session.scalars(query).one()
        moved = update(AliasRow).where(AliasRow.model_id == version.model_id).values(version_id=version.id)
        session.execute(moved)
        session.execute(update(RegistryRevisionRow).values(revision=RegistryRevisionRow.revision + 1))


def until(condition: Callable[[], bool], seconds: float) -> float:
    """Return the seconds until the condition is true."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds
        time.sleep(0.01)
    return time.monotonic() - start


def test_alias_moved_by_another_process_is_followed_soon(
    served: TestClient, live_sessions: "sessionmaker[Session]", settings: Settings, exported: Exported
) -> None:
    serve_first_of_two(served, live_sessions, Storage(settings.storage), exported, "followed")

    for number in (2, 1, 2):
        move_in_another_process(live_sessions, "followed", number)
        until(lambda number=number: version_of(served, "followed@production") == number, SOON)  # type: ignore[misc]


def test_old_version_answers_until_the_new_one_is_loaded(
    served: TestClient,
    live_sessions: "sessionmaker[Session]",
    settings: Settings,
    exported: Exported,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve_first_of_two(served, live_sessions, Storage(settings.storage), exported, "replaced")
    answers: list[int] = []
    load = ModelLoader.load

    def watched(loader: ModelLoader, version: object) -> LoadedModel:
        answers.extend(version_of(served, "replaced@production") for _ in range(3))
        return load(loader, version)  # type: ignore[arg-type]

    monkeypatch.setattr(ModelLoader, "load", watched)
    move_in_another_process(live_sessions, "replaced", 2)
    until(lambda: version_of(served, "replaced@production") == 2, SOON)

    assert answers == [1, 1, 1]


def test_alias_is_followed_after_errors_of_the_load(
    served: TestClient,
    live_sessions: "sessionmaker[Session]",
    settings: Settings,
    exported: Exported,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve_first_of_two(served, live_sessions, Storage(settings.storage), exported, "unreachable")
    errors = [RuntimeError("unexpected"), StorageUnavailable()]
    load = ModelLoader.load

    def fail_first(loader: ModelLoader, version: object) -> LoadedModel:
        if errors:
            raise errors.pop()
        return load(loader, version)  # type: ignore[arg-type]

    monkeypatch.setattr(ModelLoader, "load", fail_first)
    move_in_another_process(live_sessions, "unreachable", 2)
    until(lambda: version_of(served, "unreachable@production") == 2, SOON)
    assert errors == []


def test_version_is_loaded_before_its_alias_moves(
    served: TestClient,
    live_sessions: "sessionmaker[Session]",
    settings: Settings,
    exported: Exported,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve_first_of_two(served, live_sessions, Storage(settings.storage), exported, "prepared")
    served.put("/models/prepared/aliases/production", json={"version": 2})

    monkeypatch.setattr(ModelLoader, "load", never)
    assert version_of(served, "prepared@production") == 2


def never(loader: ModelLoader, version: object) -> LoadedModel:
    raise AssertionError("loaded while a request waited")


@pytest.mark.parametrize("mover", ["this_process", "another_process"])
def test_new_version_is_loaded_in_the_precisions_in_use(
    served: TestClient,
    live_sessions: "sessionmaker[Session]",
    settings: Settings,
    with_copy: Exported,
    monkeypatch: pytest.MonkeyPatch,
    mover: str,
) -> None:
    with live_sessions() as session:
        for _ in range(2):
            store_version(session, Storage(settings.storage), with_copy, mover)
    served.put(f"/models/{mover}/aliases/production", json={"version": 1})
    for precision in ("float32", "int8"):
        assert version_of(served, f"{mover}@production", precision=precision) == 1
    if mover == "another_process":
        move_in_another_process(live_sessions, mover, 2)
        until(lambda: version_of(served, f"{mover}@production") == 2, SOON)
    else:
        served.put(f"/models/{mover}/aliases/production", json={"version": 2})

    monkeypatch.setattr(ModelLoader, "load", never)
    for precision in ("float32", "int8"):
        assert version_of(served, f"{mover}@production", precision=precision) == 2


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(tmp_path / "postgres")
    server.start()
    yield server
    server.stop()


def test_cached_versions_are_served_during_a_database_outage(
    postgres: PostgresServer, settings: Settings, exported: Exported
) -> None:
    url = create_postgres_database(postgres.url, "outage")
    engine = make_engine(url)
    with SessionFactory(engine)() as session:
        for _ in range(2):
            store_version(session, Storage(settings.storage), exported, "text")
    engine.dispose()
    app = create_app(settings.model_copy(update={"database_url": url}), ListQueue())
    with TestClient(app, raise_server_exceptions=False) as client:
        assert version_of(client, "text:1") == 1
        postgres.stop()
        assert version_of(client, "text:1") == 1
        answer = client.post("/predict", json={"model": "text:2", "inputs": ["fine"]})
        assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
        postgres.start()
        assert version_of(client, "text:2") == 2


def test_deleted_alias_is_not_found(
    served: TestClient, live_sessions: "sessionmaker[Session]", settings: Settings, exported: Exported
) -> None:
    with live_sessions() as session:
        store_version(session, Storage(settings.storage), exported, "gone")
    served.put("/models/gone/aliases/production", json={"version": 1})
    assert version_of(served, "gone@production") == 1
    assert served.delete("/models/gone/aliases/production").status_code == 204
    assert served.post("/predict", json={"model": "gone@production", "inputs": ["fine"]}).status_code == 404
    assert isinstance(served.app, FastAPI)
