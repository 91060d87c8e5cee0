"""Uploads through a real server process: memory, simultaneous uploads, clients that go away, early refusals."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from benchmarks.upload_memory import KINDS, MEGABYTE, peak_growth, server, upload
from tests.support import factories
from tests.support.polling import wait_until

CSV = factories.csv_bytes(["x", "label"], [[n, "ab"[n % 2]] for n in range(20_000)])


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int, Path]]:
    """URL, process id and data folder of an own server with a limit of 200 MB."""
    folder = tmp_path_factory.mktemp("uploads")
    with server(folder, max_upload_bytes=200 * MEGABYTE) as (url, pid):
        yield url, pid, folder


def scratch_files(folder: Path) -> list[Path]:
    return [path for path in (folder / "scratch").rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_large_upload_does_not_increase_memory(service: tuple[str, int, Path], tmp_path: Path, kind: str) -> None:
    """150 MB add less than 60: nothing is held whole. `benchmarks/upload_memory.py` measures 1 GB of every format."""
    url, pid, folder = service
    name, generate = KINDS[kind]
    generate(tmp_path / name, MEGABYTE)
    upload(url, tmp_path / name)
    generate(tmp_path / name, 150 * MEGABYTE)
    growth, _ = peak_growth(pid, lambda: upload(url, tmp_path / name))
    assert growth < 60 * MEGABYTE
    assert scratch_files(folder) == []


def test_simultaneous_identical_uploads_become_one_dataset(service: tuple[str, int, Path]) -> None:
    url, _, folder = service

    def send(number: int) -> httpx.Response:
        return httpx.post(f"{url}/datasets", data={"name": f"n{number}"}, files={"file": ("a.csv", CSV)}, timeout=60)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    (dataset_id,) = {answer.json()["id"] for answer in answers}
    stored = [path for path in (folder / "storage").rglob("*") if path.is_file() and path.stat().st_size == len(CSV)]
    assert [path.parent.name for path in stored] == [dataset_id]
    assert scratch_files(folder) == []


def test_aborted_upload_leaves_no_file(service: tuple[str, int, Path]) -> None:
    url, _, folder = service
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /datasets HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 9000000\r\n\r\n"
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n' + b"1,2\n" * 500_000
        )
        wait_until(lambda: len(scratch_files(folder)) == 1)
    wait_until(lambda: scratch_files(folder) == [])
    assert httpx.get(f"{url}/health/live").status_code == 200


def test_large_upload_is_rejected_before_its_body_is_sent(service: tuple[str, int, Path]) -> None:
    url, _, _ = service
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /datasets HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 9000000000\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_client_that_sends_at_once_receives_the_rejection(service: tuple[str, int, Path]) -> None:
    url, _, folder = service

    def endless() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        for _ in range(250):
            yield bytes(MEGABYTE)

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = httpx.post(f"{url}/datasets", content=endless(), headers=headers, timeout=60)
    assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")
    wait_until(lambda: scratch_files(folder) == [])
