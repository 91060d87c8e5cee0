"""The sign-in of the web UI, and what its cookie allows."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from app.main import create_app
from app.settings import Settings
from tests.support.api_keys import id_of, make_key
from tests.support.list_queue import ListQueue

UI = {"X-Isthmus-UI": "1"}


@pytest.fixture
def protected(settings: Settings, sessions: sessionmaker[Session], queue: ListQueue) -> Iterator[TestClient]:
    app = create_app(settings.model_copy(update={"auth": "required"}), queue)
    app.state.engine.dispose()
    app.state.sessions = sessions
    with TestClient(app) as client:
        yield client


def test_cookie_of_a_sign_in_allows_what_the_key_allows(protected: TestClient, sessions: sessionmaker[Session]) -> None:
    key = make_key(sessions, "datasets:read", "jobs:write")
    assert protected.get("/session").json() == {"keys_needed": True, "key": None, "project": None, "scopes": []}
    assert protected.get("/datasets").status_code == 401
    answer = protected.post("/session", json={"key": key})
    assert answer.json()["key"] == id_of(key)
    assert {"httponly", "samesite=strict"} <= {part.strip().lower() for part in answer.headers["set-cookie"].split(";")}
    assert protected.get("/session").json()["scopes"] == ["datasets:read", "jobs:write"]
    assert protected.get("/datasets").status_code == 200
    assert protected.get("/models").status_code == 403
    assert protected.delete("/session").status_code == 204
    assert protected.get("/datasets").status_code == 401


def test_change_with_the_cookie_alone_is_refused(protected: TestClient, sessions: sessionmaker[Session]) -> None:
    protected.post("/session", json={"key": make_key(sessions)})
    assert protected.post("/jobs", json={"model": "m"}).status_code == 401
    assert protected.post("/jobs", json={"model": "m"}, headers=UI).status_code == 422
    foreign = {**UI, "Origin": "https://example.org"}
    assert protected.post("/jobs", json={"model": "m"}, headers=foreign).status_code == 403


def test_unknown_key_gets_no_cookie(protected: TestClient) -> None:
    answer = protected.post("/session", json={"key": "isk_unknown"})
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
