"""The number of connections is bounded, in total and per address."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
import uvicorn
from fastapi.testclient import TestClient

from app.http_server import connection_guard
from app.http_server.connection_guard import ConnectionGuard
from tests.support.fast_path import app_of
from tests.support.live_server import address, live
from tests.support.polling import wait_until
from tests.support.raw_http import GET, RawConnection

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

MAXIMUM = 5
Connect = Callable[[], RawConnection]


@pytest.fixture
def guard(client: TestClient) -> ConnectionGuard:
    guard = ConnectionGuard(max_connections=MAXIMUM, max_per_address=MAXIMUM)
    app_of(client).state.connections = guard
    return guard


@pytest.fixture
def server(client: TestClient, guard: ConnectionGuard) -> Iterator[uvicorn.Server]:
    with live(client) as server:
        server.config.timeout_keep_alive = 60
        yield server


@pytest.fixture
def connect(server: uvicorn.Server) -> Iterator[Connect]:
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(RawConnection(address(server))))


def status_of(connection: RawConnection) -> int:
    connection.send(GET)
    return connection.read()[0]


def assert_refused(connection: RawConnection) -> None:
    connection.send(GET)
    status, headers, problem = connection.read()
    assert (status, problem["code"], headers["connection"]) == (503, "too_many_connections", "close")
    assert int(headers["retry-after"]) > 0
    assert connection.ended()


@sqlite_only
def test_connection_beyond_the_maximum_is_refused_until_one_closes(connect: Connect, guard: ConnectionGuard) -> None:
    used = [connect() for _ in range(MAXIMUM)]
    assert {status_of(connection) for connection in used} == {200}
    surplus = connect()
    assert_refused(surplus)
    surplus.close()
    used[0].close()
    wait_until(lambda: guard.count() < MAXIMUM)
    assert status_of(connect()) == 200


@sqlite_only
def test_connection_that_waits_without_a_request_makes_room(
    connect: Connect, guard: ConnectionGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = [connect() for _ in range(MAXIMUM)]
    silent[0].send(GET[:20])
    wait_until(lambda: guard.seconds >= 2)
    assert status_of(connect()) == 200
    status, _, problem = silent[0].read()
    assert (status, problem["code"]) == (408, "request_timeout")


@sqlite_only
def test_address_has_a_maximum_but_loopback(connect: Connect, guard: ConnectionGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    guard._max_connections = 100  # noqa: SLF001  # tests reach the server from loopback only
    for _ in range(MAXIMUM):
        assert status_of(connect()) == 200
    assert status_of(connect()) == 200
    monkeypatch.setattr(connection_guard, "_is_loopback", lambda address: False)
    assert_refused(connect())


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", ""])
def test_loopback_addresses_are_known(address: str) -> None:
    assert connection_guard._is_loopback(address)  # noqa: SLF001


@pytest.mark.parametrize("address", ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1", "testclient"])
def test_other_addresses_are_not_loopback(address: str) -> None:
    assert not connection_guard._is_loopback(address)  # noqa: SLF001
