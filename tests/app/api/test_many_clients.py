"""Hundreds of requests at the same time on a real server, on both databases."""

import json
from collections import Counter
from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session, sessionmaker

from app.job_state import JobStatus
from app.services import job_events
from tests.support.deployed_service import Client, running
from tests.support.factories import make_job, make_version
from tests.support.many_clients import Answer, send_at_once


@pytest.fixture(scope="module")
def service(live_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("service")
    environment = {"ISTHMUS_DATA_DIR": str(folder), "ISTHMUS_DATABASE_URL": live_database, "ISTHMUS_LOG_LEVEL": "error"}
    with running(environment, folder, workers=0) as client:
        yield client


@pytest.fixture
def job_id(live_sessions: sessionmaker[Session]) -> str:
    with live_sessions.begin() as session:
        job = make_job(session, status=JobStatus.RUNNING)
        job_events.record(session, job, "started")
        return str(job.id)


def ask(service: Client, requests: list[tuple[str, str, bytes]]) -> list[Answer]:
    return send_at_once(str(service.http.base_url), requests)


def statuses(answers: list[Answer]) -> dict[int, int]:
    return dict(Counter(answer.status for answer in answers))


def test_hundreds_of_reads_and_changes_at_once_are_answered(service: Client, live_sessions: sessionmaker[Session]) -> None:
    with live_sessions.begin() as session:
        for _ in range(2):
            make_version(session, model="crowded")
    assert statuses(ask(service, [("GET", "/models?limit=1", b"")] * 500)) == {200: 500}
    moves = [("PUT", "/models/crowded/aliases/production", json.dumps({"version": 1 + n % 2}).encode()) for n in range(500)]
    assert statuses(ask(service, moves)) == {200: 500}


def test_thousand_long_polls_at_once_are_answered(service: Client, job_id: str) -> None:
    answers = ask(service, [("GET", f"/jobs/{job_id}?wait=3", b"")] * 1000)
    assert statuses(answers) == {200: 1000}
    assert {json.loads(answer.body)["id"] for answer in answers} == {job_id}


def test_hundreds_of_event_streams_at_once_begin(service: Client, job_id: str) -> None:
    answers = ask(service, [("GET", f"/jobs/{job_id}/events", b"")] * 500)
    assert statuses(answers) == {200: 500}
    assert all(b"event: started" in answer.body for answer in answers)
