"""Keys on the fast path: cached heads hold the caller, and a revoked key is refused soon by every server."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from app.auth import keys
from app.main import create_app
from app.settings import Settings
from app.storage import Storage
from tests.support.api_keys import bearer, id_of, make_key
from tests.support.fast_path import app_of
from tests.support.list_queue import ListQueue
from tests.support.live_server import address, live
from tests.support.published_models import export_network, store_version

Sessions = sessionmaker[Session]
SOON = 1.0
"""Maximum seconds until every server refuses a revoked key."""
MODEL = "keyed"


class Server:
    """One of several servers of a deployment, on a real socket."""

    def __init__(self, client: TestClient, url: str) -> None:
        self.heads = app_of(client).front.parsed_heads  # type: ignore[attr-defined]
        self._client = httpx.Client(base_url=url, timeout=20)

    def predict(self, key: str | None, model: str = MODEL) -> int:
        headers = bearer(key) if key else {}
        return self._client.post("/predict", json={"model": model, "inputs": ["fine"]}, headers=headers).status_code

    def infer(self, key: str | None, model: str = MODEL) -> int:
        return self._client.get(f"/v2/models/{model}", headers=bearer(key) if key else {}).status_code

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def servers(
    live_database: str, live_sessions: Sessions, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Server]]:
    """Start two servers that require keys, on one database."""
    exported = export_network("text", ["bad", "good"], tmp_path_factory.mktemp("keyed"))
    with live_sessions() as session:
        store_version(session, Storage(settings.storage), exported, MODEL)
    protected = settings.model_copy(update={"database_url": live_database, "auth": "required"})
    with ExitStack() as stack:
        started = []
        for _ in range(2):
            client = stack.enter_context(TestClient(create_app(protected, ListQueue())))
            host, port = address(stack.enter_context(live(client)))
            started.append(Server(client, f"http://{host}:{port}"))
            stack.callback(started[-1].close)
        yield started


def test_cached_head_answers_for_its_caller_only(servers: list[Server], live_sessions: Sessions) -> None:
    server = servers[0]
    key, other = make_key(live_sessions, "predict"), make_key(live_sessions, "predict", project="other")
    reader, narrowed = make_key(live_sessions, "models:read"), make_key(live_sessions, "predict", models=["else*"])
    for _ in range(3):
        assert server.predict(key) == 200
        assert server.predict(other) == 404
        assert server.predict(reader) == 403
        assert server.predict(narrowed) == 403
        assert server.predict(None) == 401
        assert server.predict(key[:-1] + "_") == 401
        assert server.infer(key) == 200
        assert server.infer(other) == 404
        assert server.infer(reader) == 403
    answered = [head for head in server.heads if b"isth_" in head]
    assert len(answered) == 1
    assert key.encode() in answered[0]


def test_revoked_key_is_refused_soon_by_every_server(servers: list[Server], live_sessions: Sessions) -> None:
    key, kept = make_key(live_sessions, "predict"), make_key(live_sessions, "predict")
    for server in servers * 2:
        assert server.predict(key) == server.predict(kept) == 200
    assert all(any(key.encode() in head for head in server.heads) for server in servers)
    with live_sessions.begin() as session:
        keys.revoke(session, id_of(key))
    revoked_at = time.monotonic()
    for server in servers:
        while server.predict(key) == 200:
            assert time.monotonic() - revoked_at < SOON
        assert server.predict(key) == 401
        assert server.predict(kept) == 200


def test_key_appears_in_no_log(servers: list[Server], live_sessions: Sessions, capfd: pytest.CaptureFixture[str]) -> None:
    key = make_key(live_sessions, "predict")
    for server in servers:
        assert server.predict(key) == 200
        assert server.predict(key, "nothing") == 404
        assert server.infer(key + "0") == 401
    out, err = capfd.readouterr()
    lines = [line for line in (out + err).splitlines() if line.strip()]
    assert any("/predict" in line or "/v2/models" in line for line in lines)
    assert not any("isth_" in line or key.split("_")[2] in line for line in lines), json.dumps(lines)
