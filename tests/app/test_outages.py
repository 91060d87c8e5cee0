"""The database goes away and comes back: problem documents meanwhile, and nobody has to start the app again."""

import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from app.db.session import make_engine, make_sessions
from app.job_state import JobStatus
from app.main import create_app
from app.settings import Settings
from tests.conftest import ListQueue, create_postgres_database
from tests.factories import make_dataset, make_job
from tests.servers import PostgresServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    server = PostgresServer(tmp_path_factory.mktemp("outages"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def url(server: PostgresServer) -> str:
    return create_postgres_database(server.url, "outage")


@pytest.fixture
def sessions(url: str) -> Iterator[sessionmaker[Session]]:
    engine = make_engine(url)
    yield make_sessions(engine)
    engine.dispose()


@pytest.fixture
def outage_client(url: str, settings: Settings) -> Iterator[TestClient]:
    app = create_app(settings.model_copy(update={"database_url": url}), ListQueue())
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def assert_unavailable(answer: Any) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["code"] == "service_unavailable"


def test_while_postgresql_is_away_every_route_of_jobs_answers_503_and_recovers_by_itself(
    outage_client: TestClient, server: PostgresServer, sessions: sessionmaker[Session]
) -> None:
    with sessions.begin() as session:
        job_id, source = make_job(session).id, make_dataset(session).id
    body = {"model": "digits", "source": str(source), "params": {"algorithm": "fine_tune"}}
    assert outage_client.get("/jobs").status_code == 200

    server.stop()
    for _ in range(3):
        assert_unavailable(outage_client.get("/jobs"))
        assert_unavailable(outage_client.post("/jobs", json=body))
        for path in ("", "?wait=5", "/metrics", "/events"):
            assert_unavailable(outage_client.get(f"/jobs/{job_id}{path}"))
        assert_unavailable(outage_client.post(f"/jobs/{job_id}/cancel"))
    assert outage_client.get("/health/live").status_code == 200
    assert outage_client.get("/algorithms").status_code == 200

    server.start()
    assert outage_client.get(f"/jobs/{job_id}").json()["status"] == "queued"
    assert outage_client.post("/jobs", json=body).status_code == 202
    assert outage_client.post(f"/jobs/{job_id}/cancel").json()["status"] == "cancelled"


def test_those_who_wait_when_postgresql_goes_away_are_told(
    outage_client: TestClient, server: PostgresServer, sessions: sessionmaker[Session]
) -> None:
    with sessions.begin() as session:
        job_id = make_job(session, status=JobStatus.RUNNING).id
    answers: dict[str, Any] = {}

    def ask(path: str) -> None:
        answers[path] = outage_client.get(f"/jobs/{job_id}{path}")

    threads = [threading.Thread(target=ask, args=(path,)) for path in ("?wait=60", "/events")]
    for thread in threads:
        thread.start()
    wait_for_waiters(outage_client, len(threads))
    server.stop()
    for thread in threads:
        thread.join(timeout=20)
    assert_unavailable(answers["?wait=60"])
    assert (answers["/events"].status_code, answers["/events"].text) == (200, "")

    server.start()
    assert outage_client.get(f"/jobs/{UUID(int=0)}").status_code == 404


def wait_for_waiters(client: TestClient, count: int) -> None:
    watcher = client.app.state.watcher  # type: ignore[attr-defined]
    deadline = time.monotonic() + 10
    while len(watcher._waiters) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
