"""Synchronous responses on a real socket equal those of uvicorn and keep their order."""

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
from tests.support.fast_path import DECLINED, app_of, decline
from tests.support.live_server import address, live
from tests.support.published_models import Exported, export_network, store_version
from tests.support.raw_http import GET, RawConnection

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

BODY = json.dumps({"model": "text", "inputs": ["fine"]}).encode()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_network("text", ["good", "bad"], tmp_path_factory.mktemp("text"))


@pytest.fixture
def server(client: TestClient, session: Session, storage: Storage, exported: Exported) -> Iterator[uvicorn.Server]:
    """Server with a loaded version."""
    store_version(session, storage, exported, "text")
    assert client.post("/predict", content=BODY, headers={"content-type": "application/json"}).status_code == 200
    with live(client) as server:
        yield server


@pytest.fixture
def no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request waits for the event loop."""
    monkeypatch.setattr("app.serving.admission_control.SLICE_SECONDS", float("inf"))


@pytest.fixture
def only_sync(server: uvicorn.Server, no_queue: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only synchronous responses have status 200."""

    async def decline_asgi(fast_path: FastPath, scope: Scope, receive: Receive, send: Send) -> None:
        await decline(scope, receive, send)

    monkeypatch.setattr(FastPath, "__call__", decline_asgi)


@pytest.fixture
def connect(server: uvicorn.Server) -> Iterator[Callable[[], RawConnection]]:
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(RawConnection(address(server))))


@pytest.fixture
def connection(connect: Callable[[], RawConnection]) -> RawConnection:
    return connect()


def make_request(body: bytes = BODY, more: bytes = b"", version: bytes = b"1.1", kind: bytes = b"application/json") -> bytes:
    head = b"POST /predict HTTP/%s\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n"
    return head % (version, kind, len(body), more) + body


def fast_path_of(client: TestClient) -> FastPath:
    fast_path = app_of(client).front
    assert isinstance(fast_path, FastPath)
    return fast_path


def test_one_connection_serves_several_requests(only_sync: None, connection: RawConnection) -> None:
    for number in (b"1", b"2"):
        connection.send(make_request(more=b"X-Request-ID: r-%s\r\n" % number))
        status, headers, response = connection.read()
        assert (status, headers["x-request-id"], headers["content-type"]) == (200, f"r-{number.decode()}", "application/json")
        assert (response["model"], len(response["predictions"])) == ("text", 1)
        assert "date" in headers


def test_synchronous_response_equals_that_of_uvicorn_except_its_date(
    connection: RawConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.send(make_request(more=b"X-Request-ID: r\r\n"))
    synchronous = connection.read()
    monkeypatch.setattr(FastPath, "try_answer_sync", lambda fast_path, route, body: None)
    connection.send(make_request(more=b"X-Request-ID: r\r\n"))
    ordinary = connection.read()
    for _, headers, _ in (synchronous, ordinary):
        del headers["date"]
    assert synchronous == ordinary


@pytest.mark.parametrize("fast_path", ["on", "off"])
def test_pipelined_requests_are_answered_in_order(connection: RawConnection) -> None:
    ids = [b"r-%d" % number for number in range(6)]
    requests = [
        GET[:-2] + b"X-Request-ID: %s\r\n\r\n" % each if number % 3 == 1 else make_request(more=b"X-Request-ID: %s\r\n" % each)
        for number, each in enumerate(ids)
    ]
    connection.send(*requests)
    responses = [connection.read() for _ in ids]
    assert [status for status, _, _ in responses] == [200] * 6
    assert [headers["x-request-id"].encode() for _, headers, _ in responses] == ids
    assert ["predictions" in response for _, _, response in responses] == [True, False, True] * 2


@pytest.mark.parametrize("is_cached", [False, True])
def test_response_is_sent_before_an_error_ends_the_connection(no_queue: None, connection: RawConnection, is_cached: bool) -> None:
    if is_cached:
        connection.send(make_request())
        connection.read()
    connection.send(make_request(), b"nonsense\r\n\r\n")
    assert connection.read()[0] == 200
    assert connection.ended_with(b"HTTP/1.1 400 Bad Request\r\n")


def test_body_may_arrive_byte_by_byte(only_sync: None, connection: RawConnection) -> None:
    request = make_request()
    connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for position in range(len(request)):
        connection.send(request[position : position + 1])
    assert connection.read()[0] == 200


@pytest.mark.parametrize("more", [b"Connection: close\r\n", b"Expect: 100-continue\r\n"])
def test_special_headers_fall_back_to_uvicorn(only_sync: None, connection: RawConnection, more: bytes) -> None:
    connection.send(make_request(more=more))
    assert connection.read()[0] == DECLINED


def test_chunked_old_or_large_requests_fall_back_to_uvicorn(only_sync: None, connect: Callable[[], RawConnection]) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked = head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    large = json.dumps({"model": "text", "inputs": ["fine"] * 10_000}).encode()
    for request in (chunked, make_request(version=b"1.0"), make_request(large)):
        connection = connect()
        connection.send(request)
        assert connection.read()[0] == DECLINED


@pytest.mark.parametrize("fast_path", ["on", "off"])
@pytest.mark.parametrize("split", [0, 1, 100, 180, -1])
def test_offer_of_another_protocol_is_ignored(connection: RawConnection, split: int) -> None:
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: \r\nUpgrade: h2c\r\n"
    ids = [b"r-%d" % number for number in range(4)]
    data = b"".join(
        make_request(more=more + b"X-Request-ID: %s\r\n" % request_id)
        for more, request_id in zip([upgrade, b""] * 2, ids, strict=True)
    )
    connection.send(data[:split])
    connection.send(data[split:])
    responses = [connection.read() for _ in ids]
    assert [(status, headers["x-request-id"].encode()) for status, headers, _ in responses] == [(200, each) for each in ids]


@pytest.mark.parametrize("fast_path", ["on", "off"])
def test_connection_closes_after_its_response_on_request(connection: RawConnection) -> None:
    connection.send(make_request(more=b"Connection: close\r\n"))
    status, headers, _ = connection.read()
    assert (status, headers["connection"]) == (200, "close")
    assert connection.ended()


def test_invalid_request_leaves_the_connection_open(connection: RawConnection) -> None:
    for body, code in ((b'{"model": "text", "inputs": [1]}', "invalid_inputs"), (b"{", "invalid_request")):
        connection.send(make_request(body))
        status, headers, problem = connection.read()
        assert (status, headers["content-type"], problem["code"]) == (422, "application/problem+json", code)
        connection.send(make_request())
        assert connection.read()[0] == 200


def test_unexpected_error_is_a_problem(connection: RawConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr("app.serving.model_loader.LoadedModel.logits", fail)
    connection.send(make_request())
    status, _, problem = connection.read()
    assert (status, problem["code"]) == (500, "service_error")


def test_body_that_arrives_during_shutdown_is_answered(server: uvicorn.Server, connect: Callable[[], RawConnection]) -> None:
    connection, request = connect(), make_request()
    connection.send(request[:-5])
    other = connect()  # accepted later: its response shows that the server has read the first request
    other.send(GET)
    assert other.read()[0] == 200
    server.should_exit = True
    assert other.ended()  # idle connections are closed
    connection.send(request[-5:])
    status, headers, _ = connection.read()
    assert (status, headers["connection"]) == (200, "close")


@pytest.mark.parametrize("fast_path", ["on", "off"])
def test_disconnect_within_a_request_logs_nothing(connect: Callable[[], RawConnection], caplog: pytest.LogCaptureFixture) -> None:
    connection, other = connect(), connect()
    connection.send(make_request()[:-5])
    connection.close()
    other.send(make_request())
    assert other.read()[0] == 200
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


def test_disconnect_with_pipelined_requests_logs_nothing(
    no_queue: None, connect: Callable[[], RawConnection], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    started, left, try_answer_sync = threading.Event(), threading.Event(), FastPath.try_answer_sync

    def answer_first(fast_path: FastPath, route: FastRoute, body: bytes) -> EncodedResponse | None:
        if started.is_set():
            return None
        started.set()
        assert left.wait(20)
        return try_answer_sync(fast_path, route, body)

    monkeypatch.setattr(FastPath, "try_answer_sync", answer_first)
    connection, other = connect(), connect()
    connection.send(make_request() * 3)
    assert started.wait(20)
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
    connection.close()
    left.set()
    other.send(GET)
    assert other.read()[0] == 200
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


def test_synchronous_responses_are_counted(only_sync: None, connection: RawConnection) -> None:
    counter = REQUESTS.labels("POST", "/predict", 200)
    before = counter.value
    connection.send(make_request(), make_request())
    assert [connection.read()[0] for _ in range(2)] == [200, 200]
    assert counter.value - before == 2


@pytest.fixture
def parsed_targets(server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Targets of all heads that are parsed."""
    targets, match = list[bytes](), FastPath.match

    def record(fast_path: FastPath, target: bytes, headers: Headers) -> FastRoute | None:
        targets.append(target)
        return match(fast_path, target, headers)

    monkeypatch.setattr(FastPath, "match", record)
    return targets


def test_head_is_parsed_once_for_all_connections(
    only_sync: None, parsed_targets: list[bytes], connect: Callable[[], RawConnection]
) -> None:
    responses = []
    for connection in (connect(), connect()):
        for _ in range(2):
            connection.send(make_request())
            status, headers, document = connection.read()
            responses.append((status, headers["content-type"], headers["content-length"], document))
    assert responses == [responses[0]] * 4
    assert (responses[0][0], parsed_targets) == (200, [b"/predict"])


def test_head_with_a_request_id_is_not_cached(no_queue: None, parsed_targets: list[bytes], connection: RawConnection) -> None:
    for _ in range(2):
        connection.send(make_request(more=b"X-Request-ID: r\r\n"))
        assert connection.read()[1]["x-request-id"] == "r"
    assert len(parsed_targets) == 2


def test_chunks_of_an_upload_are_not_looked_up_as_heads(
    client: TestClient, server: uvicorn.Server, connect: Callable[[], RawConnection]
) -> None:
    lookups = []

    class RecordingDict(dict[bytes, CachedRequestHead]):
        def get(self, head: bytes, default: Any = None) -> Any:
            lookups.append(head)
            return super().get(head, default)

    fast_path_of(client).parsed_heads = RecordingDict()
    connection, body = connect(), b"\r\n\r\n" * 2**19
    connection.send(make_request(body, kind=b"application/octet-stream", more=b"X-Model: nothing\r\n"))
    assert connection.read()[0] == 404
    assert len(lookups) == 1


def test_full_head_cache_is_emptied(
    client: TestClient, no_queue: None, connection: RawConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.fast_path.protocol.MAX_CACHED_HEADS", 2)
    monkeypatch.setattr("app.fast_path.protocol.MAX_HEAD_BYTES", 200)
    sizes = []
    for length in (1, 2, 3, 200):
        connection.send(make_request(more=b"X: %s\r\n" % (b"x" * length)))
        assert connection.read()[0] == 200
        sizes.append(len(fast_path_of(client).parsed_heads))
    assert sizes == [1, 2, 1, 1]


def test_any_data_may_follow_a_cached_head(no_queue: None, connection: RawConnection) -> None:
    connection.send(make_request())
    connection.read()
    invalid = b" " * len(BODY)
    connection.send(make_request(invalid), make_request(), GET, make_request()[:-3])
    responses = [connection.read() for _ in range(3)]
    connection.send(make_request()[-3:])
    assert [status for status, _, _ in [*responses, connection.read()]] == [422, 200, 200, 200]

    connection.send(make_request(invalid))
    assert connection.read()[2]["code"] == "invalid_request"
    connection.send(make_request() + GET[:10])
    assert connection.read()[0] == 200
    connection.send(GET[10:])
    assert connection.read()[0] == 200


def test_idle_connection_is_closed_after_the_keep_alive_timeout(
    server: uvicorn.Server, no_queue: None, connection: RawConnection, connect: Callable[[], RawConnection]
) -> None:
    connection.send(make_request())
    connection.read()
    server.config.timeout_keep_alive = 1
    other = connect()
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        other.send(make_request())
        assert other.read()[0] == 200
    assert other.ended()


def test_started_request_outlives_the_keep_alive_timeout(
    server: uvicorn.Server, no_queue: None, connect: Callable[[], RawConnection]
) -> None:
    server.config.timeout_keep_alive = 0
    connection = connect()
    connection.send(make_request(), GET[:10])
    assert connection.read()[0] == 200
    connection.send(GET[10:])
    assert connection.read()[0] == 200
    assert connection.ended()


def test_reading_pauses_while_pipelined_requests_wait(
    server: uvicorn.Server, connection: RawConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = list[bool]()

    async def record(fast_path: FastPath, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        paused.extend(one.flow.read_paused for one in server.server_state.connections if isinstance(one, FastPathProtocol))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    monkeypatch.setattr(FastPath, "__call__", record)
    connection.send(GET * 3)
    assert [connection.read()[0] for _ in range(3)] == [200] * 3
    connection.send(GET)
    assert connection.read()[0] == 200
    assert paused == [True, True, False, False]


def test_first_of_duplicate_headers_wins(no_queue: None, connection: RawConnection) -> None:
    connection.send(make_request(more=b"X-Request-ID: first\r\nX-Request-ID: second\r\n"))
    assert connection.read()[1]["x-request-id"] == "first"
    connection.send(make_request(more=b"X-Model: nothing\r\nX-Model: text\r\n", kind=b"application/octet-stream"))
    assert connection.read()[0] == 404
