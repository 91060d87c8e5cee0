"""Hostile clients of a real server process do not delay other clients."""

import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from statistics import median
from time import monotonic

import pytest

from tests.support.api_process import api_process
from tests.support.raw_http import GET, RawConnection

Address = tuple[str, int]
MAX_MEDIAN_SECONDS = 3.0
"""Without limits the server does not respond for 20 s. `benchmarks.resilience` measures the exact delays."""
HEADER_BYTES = 80_000_000
CONNECTIONS = 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("attacked")


@pytest.fixture(scope="module")
def address(folder: Path, empty_sqlite: Path) -> Iterator[Address]:
    with api_process(folder, empty_sqlite) as address:
        yield address


def live_seconds(address: Address) -> float:
    """Return the duration of one request on a new connection."""
    start = monotonic()
    with closing(RawConnection(address)) as connection:
        connection.send(GET)
        status, _, problem = connection.read()
        assert status == 200, problem
    return monotonic() - start


def median_during(address: Address, attack: Callable[[], None]) -> float:
    """Return the median duration of requests while an attack runs in a thread."""
    thread = threading.Thread(target=attack)
    thread.start()
    seconds = [live_seconds(address)]
    while thread.is_alive():
        seconds.append(live_seconds(address))
    return median(seconds)


def send_endless_header(address: Address) -> None:
    with closing(socket.create_connection(address, timeout=20)) as attacker:
        attacker.sendall(GET[:-2] + b"X: ")
        piece = b"x" * 1_000_000
        with suppress(OSError):  # the server closes the connection
            for _ in range(HEADER_BYTES // len(piece)):
                attacker.sendall(piece)


def test_endless_header_delays_no_other_client(address: Address) -> None:
    assert median_during(address, lambda: send_endless_header(address)) < MAX_MEDIAN_SECONDS


@pytest.fixture
def many_files() -> Iterator[None]:
    """Raise the limit of open files of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = CONNECTIONS + 500
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip("the system allows too few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    "start",
    [b"", GET[:20], b"POST /datasets HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"],
    ids=["silent", "head", "body"],
)
def test_idle_connections_delay_no_other_client(address: Address, many_files: None, start: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(closing(socket.create_connection(address, timeout=20))).sendall(start)
        assert median([live_seconds(address) for _ in range(20)]) < MAX_MEDIAN_SECONDS


def test_incomplete_heads_are_closed_and_logged(address: Address, folder: Path) -> None:
    with ExitStack() as stack:
        idle = [stack.enter_context(closing(RawConnection(address))) for _ in range(50)]
        for connection in idle:
            connection.send(GET[:20])
        assert [connection.read()[0] for connection in idle] == [408] * 50
    lines = [line for line in (folder / "api.log").read_text().splitlines() if "request_timeout" in line]
    assert 1 <= len(lines) < 20
