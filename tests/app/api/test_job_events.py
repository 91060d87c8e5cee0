"""Watching a job: long polls and server-sent events, over databases on which commits are real."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker
from starlette.types import Message

from app.auth import keys
from app.db.tables import EventRow
from app.job_state import JobStatus
from app.main import create_app
from app.schemas.trainer_messages import JobWarning, MetricPoint, Report
from app.services import job_events, jobs, leases
from app.settings import Settings
from tests.support.api_keys import bearer, id_of, make_key, status_of
from tests.support.factories import lease_of, make_job, make_result
from tests.support.list_queue import ListQueue
from tests.support.polling import wait_until


@pytest.fixture
def live_app(live_database: str, settings: Settings) -> FastAPI:
    return create_app(settings.model_copy(update={"database_url": live_database}), ListQueue())


@pytest.fixture
def live_client(live_app: FastAPI) -> Iterator[TestClient]:
    with TestClient(live_app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def running(live_sessions: sessionmaker[Session]) -> leases.Lease:
    with live_sessions.begin() as session:
        return lease_of(make_job(session, status=JobStatus.RUNNING))


@contextmanager
def meanwhile(ready: Callable[[], bool], action: Callable[[], None]) -> Iterator[None]:
    """Do `action` in a thread as soon as `ready` returns true."""

    def run() -> None:
        deadline = time.monotonic() + 10
        while not ready() and time.monotonic() < deadline:
            time.sleep(0.01)
        action()

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join()


def waiters(app: FastAPI) -> int:
    return len(app.state.watcher._waiters)  # noqa: SLF001  # no request shows how many wait


def read_stream(text: str) -> list[dict[str, Any]]:
    """Return the events of a stream: id, event and data of each."""
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n") if block]
    return [{**block, "data": json.loads(block["data"])} for block in blocks if "event" in block]


def report(sessions: sessionmaker[Session], lease: leases.Lease, progress: float) -> None:
    point = MetricPoint(step=int(progress * 100), epoch=1.0, name="domain", value=0.7)
    with sessions.begin() as session:
        leases.heartbeat(session, lease, 60, Report(progress=progress, metrics=[point]))


def finish(sessions: sessionmaker[Session], lease: leases.Lease) -> None:
    with sessions.begin() as session:
        assert leases.finish(session, lease, make_result())


def test_long_poll_responds_when_the_job_changes(
    live_app: FastAPI, live_client: TestClient, live_sessions: sessionmaker[Session], running: leases.Lease
) -> None:
    with meanwhile(lambda: waiters(live_app) > 0, lambda: report(live_sessions, running, 0.5)):
        start = time.monotonic()
        job = live_client.get(f"/jobs/{running.job_id}", params={"wait": 30}).json()
    assert job["progress"] == 0.5
    assert time.monotonic() - start < 10


def test_long_poll_without_change_responds_after_its_timeout(live_client: TestClient, running: leases.Lease) -> None:
    start = time.monotonic()
    assert live_client.get(f"/jobs/{running.job_id}", params={"wait": 0.3}).json()["status"] == "running"
    assert 0.3 <= time.monotonic() - start < 5


def test_long_poll_of_an_ended_job_responds_at_once(
    live_client: TestClient, live_sessions: sessionmaker[Session], running: leases.Lease
) -> None:
    finish(live_sessions, running)
    start = time.monotonic()
    assert live_client.get(f"/jobs/{running.job_id}", params={"wait": 60}).json()["status"] == "succeeded"
    assert time.monotonic() - start < 5


def test_heartbeat_without_change_ends_no_long_poll(
    live_app: FastAPI, live_client: TestClient, live_sessions: sessionmaker[Session], running: leases.Lease
) -> None:
    def beat() -> None:
        with live_sessions.begin() as session:
            leases.heartbeat(session, running, 60, None)

    with meanwhile(lambda: waiters(live_app) > 0, beat):
        start = time.monotonic()
        live_client.get(f"/jobs/{running.job_id}", params={"wait": 1.5})
    assert time.monotonic() - start >= 1.5


@pytest.mark.parametrize("wait", [-1, 61, "long"])
def test_too_long_wait_is_rejected(live_client: TestClient, running: leases.Lease, wait: Any) -> None:
    answer = live_client.get(f"/jobs/{running.job_id}", params={"wait": wait})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/query/wait")


def test_hundred_long_polls_share_one_query(
    live_app: FastAPI, live_sessions: sessionmaker[Session], running: leases.Lease
) -> None:
    async def scenario() -> tuple[list[httpx.Response], float]:
        transport = httpx.ASGITransport(live_app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as client:
            polls = [asyncio.create_task(client.get(f"/jobs/{running.job_id}", params={"wait": 30})) for _ in range(100)]
            while waiters(live_app) < 100:
                await asyncio.sleep(0.01)
            start = time.monotonic()
            assert (await client.get("/jobs")).status_code == 200
            through = time.monotonic() - start
            await asyncio.to_thread(report, live_sessions, running, 0.25)
            answers = await asyncio.gather(*polls)
        await live_app.state.watcher.close()
        return answers, through

    start = time.monotonic()
    answers, through = asyncio.run(scenario())
    assert {answer.json()["progress"] for answer in answers} == {0.25}
    assert through < 5
    assert time.monotonic() - start < 20
    live_app.state.engine.dispose()


def test_events_are_streamed_in_order_until_done(
    live_app: FastAPI, live_client: TestClient, live_sessions: sessionmaker[Session]
) -> None:
    with live_sessions.begin() as session:
        job_id = make_job(session).id

    def work() -> None:
        with live_sessions.begin() as session:
            claim = leases.claim(session, job_id, "worker-1", 60)
            assert claim is not None
        report(live_sessions, claim[0], 0.5)
        with live_sessions.begin() as session:
            warning = JobWarning(code="collapsed", message="At step 7.")
            leases.heartbeat(session, claim[0], 60, Report(progress=0.6, warnings=[warning]))
        finish(live_sessions, claim[0])

    with meanwhile(lambda: waiters(live_app) > 0, work):
        answer = live_client.get(f"/jobs/{job_id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = read_stream(answer.text)
    assert [event["event"] for event in events] == ["started", "progress", "metrics", "progress", "warning", "done"]
    ids = [int(event["id"]) for event in events]
    assert ids == sorted(set(ids))
    assert events[2]["data"]["points"] == [{"step": 50, "epoch": 1.0, "name": "domain", "value": 0.7}]
    assert events[-1]["data"]["status"] == "succeeded"
    assert {event["data"]["attempt"] for event in events} == {1}


def test_stream_resumes_after_the_last_event_id(
    live_client: TestClient, live_sessions: sessionmaker[Session], running: leases.Lease
) -> None:
    for progress in (0.2, 0.4, 0.6):
        report(live_sessions, running, progress)
    finish(live_sessions, running)
    everything = read_stream(live_client.get(f"/jobs/{running.job_id}/events").text)
    for seen in range(len(everything)):
        headers = {"Last-Event-ID": everything[seen]["id"]}
        response = live_client.get(f"/jobs/{running.job_id}/events", headers=headers)
        assert response.status_code == (204 if seen == len(everything) - 1 else 200)  # 204 stops an EventSource
        assert read_stream(response.text) == everything[seen + 1 :]


def test_cancelled_job_ends_its_stream(live_client: TestClient, live_sessions: sessionmaker[Session]) -> None:
    with live_sessions.begin() as session:
        job_id = make_job(session).id
        jobs.cancel(session, job_id)
    events = read_stream(live_client.get(f"/jobs/{job_id}/events").text)
    assert [(event["event"], event["data"]["status"]) for event in events] == [("done", "cancelled")]


def test_comments_keep_a_silent_stream_alive(
    live_app: FastAPI,
    live_client: TestClient,
    live_sessions: sessionmaker[Session],
    running: leases.Lease,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.05)
    with meanwhile(lambda: waiters(live_app) > 0, lambda: finish(live_sessions, running)):
        assert ": ping" in live_client.get(f"/jobs/{running.job_id}/events").text


@pytest.mark.parametrize("last", ["-1", "x", str(2**63)])
def test_invalid_event_id_is_rejected(live_client: TestClient, running: leases.Lease, last: str) -> None:
    assert live_client.get(f"/jobs/{running.job_id}/events", headers={"Last-Event-ID": last}).status_code == 422


def test_waiting_clients_hold_no_transaction(
    live_app: FastAPI, live_client: TestClient, live_sessions: sessionmaker[Session], running: leases.Lease
) -> None:
    in_use: list[int] = []

    def look_and_finish() -> None:
        in_use.append(live_app.state.engine.pool.checkedout())
        finish(live_sessions, running)

    with meanwhile(lambda: waiters(live_app) > 0, look_and_finish):
        live_client.get(f"/jobs/{running.job_id}/events")
    assert in_use == [0]


def test_events_of_an_unknown_job_are_a_problem_document(live_client: TestClient) -> None:
    answer = live_client.get(f"/jobs/{UUID(int=0)}/events")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_disconnect_while_events_wait_is_no_error(
    live_app: FastAPI, live_client: TestClient, live_sessions: sessionmaker[Session], running: leases.Lease
) -> None:
    for percent in range(50):
        report(live_sessions, running, percent / 100)

    async def leaves() -> list[Message]:
        sent: list[Message] = []
        left = asyncio.Event()

        async def receive() -> Message:
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)
            if message["type"] == "http.response.body":
                for _ in range(20):  # until what comes next waits to be sent
                    await asyncio.sleep(0)
                left.set()

        path = f"/jobs/{running.job_id}/events"
        headers = [(b"host", b"localhost")]
        scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": path, "raw_path": path.encode()}
        scope |= {"query_string": b"", "headers": headers}
        await live_app(scope, receive, send)
        await live_app.state.watcher.close()
        return sent

    sent = asyncio.run(leaves())
    assert sent[0]["status"] == 200
    assert len(sent) < 50


def test_readers_at_many_positions_get_a_bounded_number_of_events(session: Session) -> None:
    job = make_job(session, status=JobStatus.RUNNING)
    session.add_all([EventRow(job_id=job.id, attempt=1, kind="progress", data={}) for _ in range(600)])
    session.flush()
    first = session.scalars(select(EventRow.id).where(EventRow.job_id == job.id).order_by(EventRow.id)).first() or 0
    positions = [(job.id, first - 1 + number) for number in range(100)]
    found = job_events.after_each(session, positions)
    assert sum(map(len, found.values())) == job_events.MAX_ROWS
    assert [rows[0].id for rows in found.values()] == [last_id + 1 for _, last_id in positions]
    assert len(job_events.after_each(session, positions[:1])[positions[0]]) == job_events.MAX_ROWS


def test_stream_and_long_poll_end_when_their_key_is_revoked(
    live_database: str, settings: Settings, live_sessions: sessionmaker[Session], running: leases.Lease
) -> None:
    app = create_app(settings.model_copy(update={"database_url": live_database, "auth": "required"}), ListQueue())
    path = f"/jobs/{running.job_id}"
    with TestClient(app, raise_server_exceptions=False) as client:
        for suffix in ("/events", "?wait=30"):
            key = make_key(live_sessions, "jobs:read")
            with meanwhile(lambda: waiters(app) > 0, partial(revoke_and_report, client, live_sessions, running, key)):
                answer = client.get(path + suffix, headers=bearer(key))
            if suffix == "/events":
                assert (answer.status_code, "progress" in answer.text) == (200, False)
            else:
                assert answer.status_code == 401


def revoke_and_report(client: TestClient, sessions: sessionmaker[Session], lease: leases.Lease, key: str) -> None:
    """Revoke a key, wait until the server refuses it, and change the job."""
    with sessions.begin() as session:
        keys.revoke(session, id_of(key))
    wait_until(lambda: status_of(client, key, f"/jobs/{lease.job_id}") == 401, 10, "the revocation")
    report(sessions, lease, 0.5)
