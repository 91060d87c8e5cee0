"""Keys on the fast path: cached heads hold the caller, and a revoked key is refused soon by every server."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import uvicorn
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from app.auth import keys
from app.main import create_app
from app.settings import Settings
from app.storage import Storage
from tests.support.api_keys import id_of, make_key
from tests.support.fast_path import app_of
from tests.support.list_queue import ListQueue
from tests.support.live_server import address, live
from tests.support.published_models import export_network, store_version

Sessions = sessionmaker[Session]
SOON = 1.0
"""Maximum seconds until every server refuses a revoked key."""
MODEL = "keyed"


class Server:
    """One of several servers of a deployment, with one connection to its real socket."""

    def __init__(self, client: TestClient, server: uvicorn.Server) -> None:
        self.heads = app_of(client).front.parsed_heads  # type: ignore[attr-defined]
        self._socket = socket.create_connection(address(server), timeout=20)
        self._file = self._socket.makefile("rb")

    def predict(self, key: str | None, model: str = MODEL) -> int:
        """Return the status of a prediction."""
        return self._send("POST /predict", key, json.dumps({"model": model, "inputs": ["fine"]}).encode())

    def metadata(self, key: str | None, model: str = MODEL) -> int:
        """Return the status of a request that FastAPI answers."""
        return self._send(f"GET /v2/models/{model}", key, b"")

    def _send(self, start: str, key: str | None, body: bytes) -> int:
        """Send a request in one piece, which the fast path can answer from a cached head."""
        lines = [f"{start} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        lines += [f"Authorization: Bearer {key}"] if key else []
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        status = int(self._file.readline().split()[1])
        headers = dict(line.decode().lower().strip().split(": ", 1) for line in iter(self._file.readline, b"\r\n"))
        self._file.read(int(headers["content-length"]))
        return status

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture
def servers(
    live_database: str, live_sessions: Sessions, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[Server]]:
    """Start two servers that require keys, on one database. No request waits for the event loop, so that heads are cached."""
    monkeypatch.setattr("app.serving.admission_control.SLICE_SECONDS", float("inf"))
    (tmp_path / "keyed").mkdir()
    exported = export_network("text", ["bad", "good"], tmp_path / "keyed")
    with live_sessions() as session:
        store_version(session, Storage(settings.storage), exported, MODEL)
    protected = settings.model_copy(update={"database_url": live_database, "auth": "required"})
    with ExitStack() as stack:
        started = []
        for _ in range(2):
            client = stack.enter_context(TestClient(create_app(protected, ListQueue())))
            started.append(Server(client, stack.enter_context(live(client))))
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
        assert server.metadata(key) == 200
        assert server.metadata(other) == 404
        assert server.metadata(reader) == 403
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
        assert server.metadata(key + "0") == 401
    out, err = capfd.readouterr()
    lines = [line for line in (out + err).splitlines() if line.strip()]
    assert any("/predict" in line or "/v2/models" in line for line in lines)
    assert not any("isth_" in line or key.split("_")[2] in line for line in lines), json.dumps(lines)
