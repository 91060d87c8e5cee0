"""Limits of what a key holds open, through a real server process: event streams, waiting requests, uploads."""

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from app.db.session import SessionFactory, make_engine
from app.job_state import JobStatus
from app.services import job_events
from tests.support.api_process import api_process
from tests.support.factories import csv_bytes, make_job
from tests.support.polling import wait_until

Address = tuple[str, int]
CSV = csv_bytes(["x", "label"], [[number, "ab"[number % 2]] for number in range(50)])
UNFINISHED = (
    b"POST /datasets HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 9000\r\n\r\n"
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, empty_sqlite: Path) -> Iterator[tuple[Address, str]]:
    """Run a server with two streams and one upload per key; yield its address and the path of a running job."""
    folder = tmp_path_factory.mktemp("limited")
    limits = {"ISTHMUS_MAX_STREAMS_PER_KEY": "2", "ISTHMUS_MAX_UPLOADS_PER_KEY": "1"}
    with api_process(folder, empty_sqlite, **limits) as address:
        engine = make_engine(f"sqlite:///{folder}/isthmus.db")
        with SessionFactory(engine).begin() as session:
            job = make_job(session, status=JobStatus.RUNNING)
            job_events.record(session, job, "started")
            path = f"/jobs/{job.id}"
        engine.dispose()
        yield address, path


def get(address: Address, path: str) -> httpx.Response:
    return httpx.get(f"http://{address[0]}:{address[1]}{path}", timeout=30)


def upload(address: Address) -> httpx.Response:
    url = f"http://{address[0]}:{address[1]}/datasets"
    return httpx.post(url, data={"name": "table"}, files={"file": ("table.csv", CSV)}, timeout=60)


def open_stream(address: Address, path: str) -> socket.socket:
    """Start an event stream and wait for its first event."""
    connection = socket.create_connection(address, timeout=30)
    connection.sendall(f"GET {path}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    received = b""
    while b"event: started" not in received:
        received += connection.recv(10_000)
    return connection


def reset(connection: socket.socket) -> None:
    """Close a connection at once. A client that only ends its side may still read, until the next ping of the stream fails."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_streams_and_waiting_requests_beyond_the_limit_get_429(service: tuple[Address, str]) -> None:
    address, path = service
    with ExitStack() as streams:
        first = streams.enter_context(closing(open_stream(address, path)))
        streams.enter_context(closing(open_stream(address, path)))
        for suffix in ("/events", "?wait=5"):
            refused = get(address, path + suffix)
            assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
            assert "2 open event streams and waiting requests" in refused.json()["detail"]
            assert refused.headers["Retry-After"] == "1"
        assert get(address, path).status_code == 200
        reset(first)
        wait_until(lambda: get(address, f"{path}?wait=0.1").status_code == 200, 10, "the slot of the closed stream")


def test_second_upload_at_once_gets_429(service: tuple[Address, str]) -> None:
    address, _ = service
    with closing(socket.create_connection(address, timeout=30)) as unfinished:
        unfinished.sendall(UNFINISHED)
        refused = wait_until(lambda: answer if (answer := upload(address)).status_code == 429 else None, 10, "the first upload")
        assert "1 uploads in progress" in refused.json()["detail"]
    wait_until(lambda: upload(address).status_code in (200, 201), 10, "the end of the first upload")
