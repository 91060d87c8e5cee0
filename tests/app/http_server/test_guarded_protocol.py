"""Limits and deadlines of one connection on a real socket, with and without the fast path."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress

import pytest
import uvicorn
from fastapi.testclient import TestClient
from starlette.types import Receive, Scope, Send

from app.api.application import IsthmusApp
from app.http_server import connection_guard, guarded_protocol
from app.http_server.connection_guard import ConnectionGuard
from app.http_server.guarded_protocol import MAX_HEAD_BYTES, MAX_HEADERS
from tests.support.live_server import address, live
from tests.support.polling import wait_until
from tests.support.raw_http import GET, RawConnection

pytestmark = [
    pytest.mark.parametrize("engine", ["sqlite"], indirect=True),
    pytest.mark.parametrize("fast_path", ["on", "off"]),
]

Connect = Callable[[], RawConnection]
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture
def quick_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second of all deadlines take 10 ms."""
    monkeypatch.setattr(connection_guard, "CHECK_SECONDS", 0.01)


@pytest.fixture
def server(client: TestClient) -> Iterator[uvicorn.Server]:
    with live(client) as server:
        yield server


@pytest.fixture
def connect(server: uvicorn.Server) -> Iterator[Connect]:
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(RawConnection(address(server))))


def refusal_of(connection: RawConnection) -> tuple[int, str]:
    """Read an error response and the end of the connection; return its status and code."""
    status, headers, problem = connection.read()
    assert (headers["content-type"], headers["connection"]) == ("application/problem+json", "close")
    assert connection.ended()
    return status, problem["code"]


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2"


@pytest.mark.parametrize("is_complete", [True, False])
@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (GET[:-2] + b"X: ", b"x" * MAX_HEAD_BYTES),
        (b"GET /", b"x" * MAX_HEAD_BYTES),
        (GET[:-2], b"X: 1\r\n" * 20_000),
        (HEAD + b"Content-Length: 2\r\nX: ", b"x" * MAX_HEAD_BYTES),
    ],
    ids=["value", "url", "count", "post"],
)
def test_large_head_is_refused(connect: Connect, start: bytes, piece: bytes, is_complete: bool) -> None:
    connection = connect()
    connection.send(start, piece, b"\r\n\r\n" if is_complete else b"")
    assert refusal_of(connection) == (431, "request_head_too_large")


def test_head_with_many_headers_is_refused(connect: Connect) -> None:
    connection = connect()
    connection.send(GET[:-2], b"X: 1\r\n" * MAX_HEADERS, b"\r\n")
    assert refusal_of(connection) == (431, "request_head_too_large")


@pytest.mark.parametrize("start", [CHUNKED + b"\r\n{}\r\n0\r\nX: ", CHUNKED + b";"], ids=["trailer", "extension"])
def test_endless_part_of_a_chunked_body_is_refused(connect: Connect, start: bytes) -> None:
    connection = connect()
    connection.send(start)
    for _ in range(3):
        connection.send(b"x" * MAX_HEAD_BYTES)
    assert refusal_of(connection) == (431, "request_head_too_large")


def test_refusal_follows_the_response_of_an_earlier_request(connect: Connect) -> None:
    connection = connect()
    connection.send(GET, GET[:-2], b"X: %s\r\n\r\n" % (b"x" * MAX_HEAD_BYTES))
    assert connection.read()[0] == 200
    assert refusal_of(connection) == (431, "request_head_too_large")


def test_head_within_the_limits_is_answered(connect: Connect) -> None:
    connection = connect()
    connection.send(GET[:-2], b"X: %s\r\n" % (b"x" * (MAX_HEAD_BYTES - 200)), b"\r\n", GET[:-2], b"X: 1\r\n" * 90, b"\r\n")
    assert [connection.read()[0] for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("start", [b"", b"\r\n", GET[:10], GET[:-1], GET + GET[:10], HEAD])
def test_slow_head_times_out(connect: Connect, quick_checks: None, start: bytes) -> None:
    connection = connect()
    connection.send(start)
    if start.startswith(GET):
        assert connection.read()[0] == 200
    assert refusal_of(connection) == (408, "request_timeout")


@pytest.mark.parametrize(
    "start",
    [
        HEAD + b'Content-Length: 100\r\n\r\n{"model"',
        HEAD + b"Content-Length: 100000\r\n\r\n" + b" " * 10_000,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n",
        b'POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"model"',
    ],
    ids=["small", "large", "chunked", "job"],
)
def test_slow_body_times_out(connect: Connect, quick_checks: None, start: bytes) -> None:
    connection = connect()
    connection.send(start)
    assert refusal_of(connection) == (408, "request_timeout")


def test_client_that_awaits_the_permission_to_send_is_not_slow(
    connect: Connect, quick_checks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded_protocol, "BODY_SECONDS", 500)
    connection = connect()
    connection.send(HEAD, b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert connection.read_line() == b"HTTP/1.1 100 Continue\r\n"


def test_empty_lines_do_not_keep_a_connection_open(server: uvicorn.Server, connect: Connect, quick_checks: None) -> None:
    server.config.timeout_keep_alive = 1
    connection = connect()
    connection.send(GET)
    assert connection.read()[0] == 200
    connection.send(b"\r\n")
    assert connection.ended()


@pytest.mark.parametrize("count", [1, 3])
def test_client_that_ends_its_side_gets_its_responses(connect: Connect, count: int) -> None:
    connection = connect()
    connection.send(GET * count)
    connection.socket.shutdown(socket.SHUT_WR)
    data = connection.read_rest()
    assert data.startswith(b"HTTP/1.1 200")
    assert data.count(b"HTTP/1.1 200") == count


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"Transfer-Encoding: gzip, chunked\r\n", 501),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", 400),
        (b"Host: localhost\r\nContent-Length: 2\r\nConnection: close\r\n", 400),
        (b"Bad Name: x\r\nContent-Length: 2\r\n", 400),
    ],
)
def test_request_that_could_be_misread_ends_the_connection(connect: Connect, lines: bytes, status: int) -> None:
    connection = connect()
    connection.send(HEAD, lines, b"\r\n2\r\n{}\r\n0\r\n\r\n")
    assert refusal_of(connection)[0] == status


@pytest.mark.parametrize("protocols", [[b"h2c"], [b"websocket"], [b"h2c", b"websocket"], [b"websocket", b"h2c"]])
def test_upgrades_to_other_protocols_are_ignored(connect: Connect, protocols: list[bytes]) -> None:
    connection = connect()
    lines = b"".join(b"Upgrade: %s\r\n" % protocol for protocol in protocols)
    connection.send(HEAD, b"Connection: Upgrade\r\n", lines, b"Content-Length: 1\r\n\r\n{", GET)
    assert [connection.read()[0] for _ in range(2)] == [422, 200]


def test_trailers_do_not_become_headers(connect: Connect) -> None:
    connection = connect()
    connection.send(HEAD, b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nX-Request-ID: trailer\r\n\r\n", GET)
    status, headers, _ = connection.read()
    assert (status, headers["x-request-id"] != "trailer") == (422, True)
    assert connection.read()[0] == 200


@pytest.mark.parametrize("leaves", [True, False])
def test_only_a_client_that_has_left_ends_its_request(connect: Connect, monkeypatch: pytest.MonkeyPatch, leaves: bool) -> None:
    messages = list[str]()

    async def wait_for_end(app: IsthmusApp, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        with suppress(TimeoutError):
            messages.append((await asyncio.wait_for(receive(), 10 if leaves else 1))["type"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
        messages.append("answered")

    monkeypatch.setattr(IsthmusApp, "__call__", wait_for_end)
    connection = connect()
    connection.send(GET)
    if leaves:
        connection.close()
    else:
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.read_rest().startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204")
    wait_until(lambda: "answered" in messages)
    assert messages == ["http.disconnect", "answered"] if leaves else ["answered"]


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"])
@pytest.mark.parametrize("method", [b"GET", b"PUT"])
def test_complete_request_may_wait_for_its_response(
    connect: Connect, quick_checks: None, monkeypatch: pytest.MonkeyPatch, method: bytes, more: bytes
) -> None:

    async def wait(app: IsthmusApp, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        guard: ConnectionGuard = app.state.connections
        start = guard.seconds
        while guard.seconds < start + 100:
            await asyncio.sleep(0.01)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    monkeypatch.setattr(IsthmusApp, "__call__", wait)
    connection = connect()
    connection.send(method, b" /jobs HTTP/1.1\r\nHost: localhost\r\n", more, b"Content-Length: 2\r\n\r\n{}")
    assert connection.read()[0] == 200
