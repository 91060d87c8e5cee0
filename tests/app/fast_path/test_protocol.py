"""Answers at once, on a real socket: as uvicorn gives them, in order, and nothing but whole requests."""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session
from starlette.types import Receive, Scope, Send

from app.fast_path.asgi import FastPath
from app.fast_path.protocol import FastPathProtocol
from app.fast_path.routing import CachedRequestHead, FastRoute, Headers
from app.observability.metrics import REQUESTS
from app.serving.responses import EncodedResponse
from app.storage import Storage
from tests.support.live_server import address, live
from tests.support.published_models import Exported, export_network, store_version

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

BODY = json.dumps({"model": "text", "inputs": ["fine"]}).encode()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_network("text", ["good", "bad"], tmp_path_factory.mktemp("text"))


@pytest.fixture
def server(client: TestClient, session: Session, storage: Storage, exported: Exported) -> Iterator[uvicorn.Server]:
    """With the version loaded."""
    store_version(session, storage, exported, "text")
    assert client.post("/predict", content=BODY, headers={"content-type": "application/json"}).status_code == 200
    with live(client) as server:
        yield server


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to wait for the event loop."""
    monkeypatch.setattr("app.serving.admission_control.SLICE_SECONDS", float("inf"))


@pytest.fixture
def only_at_once(server: uvicorn.Server, free: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes uvicorn's way is not answered."""

    async def teapot(hot: FastPath, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 418, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    monkeypatch.setattr(FastPath, "__call__", teapot)


class Connection:
    """What is sent, and what is read answer by answer."""

    def __init__(self, server: uvicorn.Server) -> None:
        self.socket = socket.create_connection(address(server), timeout=20)
        self._file = self.socket.makefile("rb")

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def read(self) -> tuple[int, dict[str, str], Any]:
        """Status, headers and document of the next answer."""
        status = int(self._file.readline().split()[1])
        lines = iter(lambda: self._file.readline().decode().strip(), "")
        headers = dict(line.split(": ", 1) for line in lines)
        content = self._file.read(int(headers["content-length"]))
        return status, headers, json.loads(content or b"null")

    def ended(self) -> bool:
        """Waits for the end."""
        return self._file.read(1) == b""

    def ended_with(self, start: bytes) -> bool:
        """Waits for the end of something that begins like this."""
        return self._file.read().startswith(start)

    def close(self) -> None:
        self._file.close()
        self.socket.close()


@pytest.fixture
def connect(server: uvicorn.Server) -> Iterator[Callable[[], Connection]]:
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(Connection(server)))


@pytest.fixture
def connection(connect: Callable[[], Connection]) -> Connection:
    return connect()


def asked(body: bytes = BODY, more: bytes = b"", version: bytes = b"1.1", kind: bytes = b"application/json") -> bytes:
    head = b"POST /predict HTTP/%s\r\nHost: here\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n"
    return head % (version, kind, len(body), more) + body


GET = b"GET /health/live HTTP/1.1\r\nHost: here\r\n\r\n"


def test_requests_of_one_connection_are_answered_one_by_one(only_at_once: None, connection: Connection) -> None:
    for number in (b"1", b"2"):
        connection.send(asked(more=b"X-Request-ID: r-%s\r\n" % number))
        status, headers, answer = connection.read()
        assert (status, headers["x-request-id"], headers["content-type"]) == (200, f"r-{number.decode()}", "application/json")
        assert (answer["model"], len(answer["predictions"])) == ("text", 1)
        assert "date" in headers


def test_an_answer_at_once_is_uvicorns_but_for_the_time(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    connection.send(asked(more=b"X-Request-ID: r\r\n"))
    at_once = connection.read()
    monkeypatch.setattr(FastPath, "try_answer_sync", lambda hot, asked, body: None)
    connection.send(asked(more=b"X-Request-ID: r\r\n"))
    ordinary = connection.read()
    for _, headers, _ in (at_once, ordinary):
        del headers["date"]
    assert at_once == ordinary


def test_requests_behind_one_another_are_answered_in_order(connection: Connection) -> None:
    ids = [b"r-%d" % number for number in range(6)]
    requests = [
        GET[:-2] + b"X-Request-ID: %s\r\n\r\n" % each if number % 3 == 1 else asked(more=b"X-Request-ID: %s\r\n" % each)
        for number, each in enumerate(ids)
    ]
    connection.send(*requests)
    answers = [connection.read() for _ in ids]
    assert [status for status, _, _ in answers] == [200] * 6
    assert [headers["x-request-id"].encode() for _, headers, _ in answers] == ids
    assert ["predictions" in answer for _, _, answer in answers] == [True, False, True] * 2


@pytest.mark.parametrize("known", [False, True])
def test_an_answer_leaves_before_what_ends_its_connection(free: None, connection: Connection, known: bool) -> None:
    if known:
        connection.send(asked())
        connection.read()
    connection.send(asked(), b"nonsense\r\n\r\n")
    assert connection.read()[0] == 200
    assert connection.ended_with(b"HTTP/1.1 400 Bad Request\r\n")


def test_a_body_may_come_in_pieces(only_at_once: None, connection: Connection) -> None:
    whole = asked()
    connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for place in range(len(whole)):
        connection.send(whole[place : place + 1])
    assert connection.read()[0] == 200


@pytest.mark.parametrize("more", [b"Connection: close\r\n", b"Expect: 100-continue\r\n"])
def test_what_is_special_goes_uvicorns_way(only_at_once: None, connection: Connection, more: bytes) -> None:
    connection.send(asked(more=more))
    assert connection.read()[0] == 418


def test_requests_in_chunks_or_of_an_older_version_or_too_large_go_uvicorns_way(
    only_at_once: None, connect: Callable[[], Connection]
) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked = head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    large = json.dumps({"model": "text", "inputs": ["fine"] * 10_000}).encode()
    for request in (chunked, asked(version=b"1.0"), asked(large)):
        connection = connect()
        connection.send(request)
        assert connection.read()[0] == 418


@pytest.mark.parametrize("place", [0, 1, 100, 180, -1])
def test_a_protocol_that_is_not_spoken_is_not_changed_to(connection: Connection, place: int) -> None:
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: \r\nUpgrade: h2c\r\n"
    ids = [b"r-%d" % number for number in range(4)]
    data = b"".join(asked(more=more + b"X-Request-ID: %s\r\n" % each) for more, each in zip([upgrade, b""] * 2, ids, strict=True))
    connection.send(data[:place])
    connection.send(data[place:])
    answers = [connection.read() for _ in ids]
    assert [(status, headers["x-request-id"].encode()) for status, headers, _ in answers] == [(200, each) for each in ids]


def test_a_connection_that_shall_close_closes_after_its_answer(connection: Connection) -> None:
    connection.send(asked(more=b"Connection: close\r\n"))
    status, headers, _ = connection.read()
    assert (status, headers["connection"]) == (200, "close")
    assert connection.ended()


def test_a_wrong_request_is_told_and_the_connection_goes_on(connection: Connection) -> None:
    for body, code in ((b'{"model": "text", "inputs": [1]}', "invalid_inputs"), (b"{", "invalid_request")):
        connection.send(asked(body))
        status, headers, problem = connection.read()
        assert (status, headers["content-type"], problem["code"]) == (422, "application/problem+json", code)
        connection.send(asked())
        assert connection.read()[0] == 200


def test_an_unexpected_error_is_a_problem(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr("app.serving.model_loader.LoadedModel.logits", broken)
    connection.send(asked())
    status, _, problem = connection.read()
    assert (status, problem["code"]) == (500, "service_error")


def test_a_body_that_is_on_its_way_when_the_server_ends_is_answered(
    server: uvicorn.Server, connect: Callable[[], Connection]
) -> None:
    connection, whole = connect(), asked()
    connection.send(whole[:-5])
    other = connect()  # accepted later: what came before has been seen when it is answered
    other.send(GET)
    assert other.read()[0] == 200
    server.should_exit = True
    assert other.ended()  # idle connections are closed
    connection.send(whole[-5:])
    status, headers, _ = connection.read()
    assert (status, headers["connection"]) == (200, "close")


def test_who_leaves_in_the_middle_leaves_no_trace(connect: Callable[[], Connection], caplog: pytest.LogCaptureFixture) -> None:
    connection, other = connect(), connect()
    connection.send(asked()[:-5])
    connection.close()
    other.send(asked())
    assert other.read()[0] == 200
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


def test_who_leaves_with_requests_behind_one_another_leaves_no_trace(
    free: None, connect: Callable[[], Connection], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun, left, at_once = threading.Event(), threading.Event(), FastPath.try_answer_sync

    def first(hot: FastPath, asked: FastRoute, body: bytes) -> EncodedResponse | None:
        if begun.is_set():
            return None
        begun.set()
        assert left.wait(20)
        return at_once(hot, asked, body)

    monkeypatch.setattr(FastPath, "try_answer_sync", first)
    connection, other = connect(), connect()
    connection.send(asked() * 3)
    assert begun.wait(20)
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
    connection.close()
    left.set()
    other.send(GET)
    assert other.read()[0] == 200
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


def test_answers_at_once_are_counted_as_everywhere(only_at_once: None, connection: Connection) -> None:
    counted = REQUESTS.labels("POST", "/predict", 200)
    before = counted.value
    connection.send(asked(), asked())
    assert [connection.read()[0] for _ in range(2)] == [200, 200]
    assert counted.value - before == 2


@pytest.fixture
def parsed(server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The targets of the heads that are parsed."""
    seen, ask = list[bytes](), FastPath.match

    def watched(hot: FastPath, target: bytes, headers: Headers) -> FastRoute | None:
        seen.append(target)
        return ask(hot, target, headers)

    monkeypatch.setattr(FastPath, "match", watched)
    return seen


def test_a_head_is_parsed_once_for_all_connections(
    only_at_once: None, parsed: list[bytes], connect: Callable[[], Connection]
) -> None:
    answers = []
    for connection in (connect(), connect()):
        for _ in range(2):
            connection.send(asked())
            status, headers, document = connection.read()
            answers.append((status, headers["content-type"], headers["content-length"], document))
    assert answers == [answers[0]] * 4
    assert (answers[0][0], parsed) == (200, [b"/predict"])


def test_a_head_with_an_id_of_the_clients_is_not_kept(free: None, parsed: list[bytes], connection: Connection) -> None:
    for _ in range(2):
        connection.send(asked(more=b"X-Request-ID: r\r\n"))
        assert connection.read()[1]["x-request-id"] == "r"
    assert len(parsed) == 2


def test_the_chunks_of_an_upload_are_not_taken_for_heads(
    client: TestClient, server: uvicorn.Server, connect: Callable[[], Connection]
) -> None:
    looked_up = []

    class Watched(dict[bytes, CachedRequestHead]):
        def get(self, head: bytes, default: Any = None) -> Any:
            looked_up.append(head)
            return super().get(head, default)

    client.app.hot.parsed_heads = Watched()  # type: ignore[attr-defined]
    connection, body = connect(), b"\r\n\r\n" * 2**19
    connection.send(asked(body, kind=b"application/octet-stream", more=b"X-Model: nothing\r\n"))
    assert connection.read()[0] == 404
    assert len(looked_up) == 1


def test_no_more_heads_are_kept_than_allowed(
    client: TestClient, free: None, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.fast_path.protocol.MAX_CACHED_HEADS", 2)
    monkeypatch.setattr("app.fast_path.protocol.MAX_HEAD_BYTES", 200)
    kept = []
    for length in (1, 2, 3, 200):
        connection.send(asked(more=b"X: %s\r\n" % (b"x" * length)))
        assert connection.read()[0] == 200
        kept.append(len(client.app.hot.parsed_heads))  # type: ignore[attr-defined]
    assert kept == [1, 2, 1, 1]


def test_after_a_known_head_anything_may_come(free: None, connection: Connection) -> None:
    connection.send(asked())
    connection.read()
    wrong = b" " * len(BODY)
    connection.send(asked(wrong), asked(), GET, asked()[:-3])
    answers = [connection.read() for _ in range(3)]
    connection.send(asked()[-3:])
    assert [status for status, _, _ in [*answers, connection.read()]] == [422, 200, 200, 200]

    connection.send(asked(wrong))
    assert connection.read()[2]["code"] == "invalid_request"
    connection.send(asked() + GET[:10])
    assert connection.read()[0] == 200
    connection.send(GET[10:])
    assert connection.read()[0] == 200


def test_a_connection_is_closed_some_time_after_its_last_answer(
    server: uvicorn.Server, free: None, connection: Connection, connect: Callable[[], Connection]
) -> None:
    connection.send(asked())
    connection.read()
    server.config.timeout_keep_alive = 1
    other = connect()
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        other.send(asked())
        assert other.read()[0] == 200
    assert other.ended()


def test_a_request_that_has_begun_is_waited_for(server: uvicorn.Server, free: None, connect: Callable[[], Connection]) -> None:
    server.config.timeout_keep_alive = 0
    connection = connect()
    connection.send(asked(), GET[:10])
    assert connection.read()[0] == 200
    connection.send(GET[10:])
    assert connection.read()[0] == 200
    assert connection.ended()


def test_no_more_is_read_while_requests_wait_behind_one_another(
    server: uvicorn.Server, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = list[bool]()

    async def watched(hot: FastPath, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        paused.extend(each.flow.read_paused for each in server.server_state.connections if isinstance(each, FastPathProtocol))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    monkeypatch.setattr(FastPath, "__call__", watched)
    connection.send(GET * 3)
    assert [connection.read()[0] for _ in range(3)] == [200] * 3
    connection.send(GET)
    assert connection.read()[0] == 200
    assert paused == [True, True, False, False]


def test_of_headers_of_one_name_the_first_counts(free: None, connection: Connection) -> None:
    connection.send(asked(more=b"X-Request-ID: first\r\nX-Request-ID: second\r\n"))
    assert connection.read()[1]["x-request-id"] == "first"
    connection.send(asked(more=b"X-Model: nothing\r\nX-Model: text\r\n", kind=b"application/octet-stream"))
    assert connection.read()[0] == 404
