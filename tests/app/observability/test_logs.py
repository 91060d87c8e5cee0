"""Log lines and request ids."""

import io
import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.observability import logs

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Return a function that reads the lines logged so far."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    logs.configure("info", "test")
    return lambda: [json.loads(line) for line in written.getvalue().splitlines()]


def test_events_of_the_service_and_libraries_share_one_format(lines: Lines) -> None:
    structlog.contextvars.bind_contextvars(job_id="j1")
    structlog.get_logger("ours").info("job.claimed", attempt=2)
    logging.getLogger("uvicorn.error").warning("Shutting %s", "down", extra={"code": 3})
    ours, theirs = lines()
    assert ours["event"] == "job.claimed"
    assert ours["attempt"] == 2
    assert theirs["event"] == "Shutting down"
    assert theirs["code"] == 3
    assert theirs["logger"] == "uvicorn.error"
    for line in (ours, theirs):
        assert list(line)[:4] == ["timestamp", "level", "event", "process"]
        assert line["job_id"] == "j1"


def test_exception_is_one_line_with_its_traceback(lines: Lines) -> None:
    try:
        raise ValueError("bad luck")
    except ValueError:
        logging.getLogger("celery").exception("task failed")
    (line,) = lines()
    assert line["level"] == "error"
    assert "ValueError: bad luck" in line["exception"]


def test_log_level_of_the_settings_applies(lines: Lines) -> None:
    structlog.get_logger().debug("not this")
    structlog.get_logger().info("this")
    assert [line["event"] for line in lines()] == ["this"]


def test_request_is_logged_with_id_route_and_status(client: TestClient, lines: Lines) -> None:
    client.get("/nowhere", headers={"X-Request-ID": "from-the-proxy:1"})
    (line,) = [line for line in lines() if line["logger"] == "isthmus.access"]
    assert line["request_id"] == "from-the-proxy:1"
    assert (line["method"], line["path"], line["route"], line["status"]) == ("GET", "/nowhere", "unmatched", 404)
    assert line["seconds"] >= 0


def test_successful_health_checks_are_not_logged(client: TestClient, lines: Lines) -> None:
    client.get("/health/live")
    client.get("/metrics")
    assert [line for line in lines() if line["logger"] == "isthmus.access"] == []


def test_valid_request_id_is_echoed_and_part_of_the_problem(client: TestClient) -> None:
    answer = client.get("/nowhere", headers={"X-Request-ID": "abc-123"})
    assert answer.headers["X-Request-ID"] == "abc-123"
    assert answer.json()["request_id"] == "abc-123"


@pytest.mark.parametrize("bad", ["", "x" * 129, "two words", '"quoted"', "<b>"])
def test_invalid_request_id_is_replaced(client: TestClient, bad: str) -> None:
    given = client.get("/health/live", headers={"X-Request-ID": bad}).headers["X-Request-ID"]
    assert given != bad
    assert len(given) == 32


def test_unexpected_error_is_a_problem_without_secrets(client: TestClient, lines: Lines) -> None:
    assert isinstance(client.app, FastAPI)

    @client.app.get("/broken")
    def broken() -> None:
        raise RuntimeError("password=hunter2")

    answer = client.get("/broken", headers={"X-Request-ID": "r-1"})
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-ID"] == answer.json()["request_id"] == "r-1"
    assert "hunter2" not in answer.text
    assert [line["status"] for line in lines() if line["logger"] == "isthmus.access"] == [500]
