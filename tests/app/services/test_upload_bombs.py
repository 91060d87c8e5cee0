"""Forty hostile uploads or predictions at once to a real server: its memory, and the delay of another client."""

import gzip
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support import bombs
from tests.support.databases import migrate
from tests.support.polling import wait_until
from tests.support.servers import free_port

UPLOADS = 40
MAX_EXTRA_BYTES = 10**9
MAX_MEDIAN_SECONDS = 3.0
"""`benchmarks.resilience` measures the exact delays."""


@contextmanager
def api(folder: Path) -> Iterator[tuple[httpx.Client, psutil.Process]]:
    """Run `isthmus api` on an empty database, and yield a client and the process."""
    migrate(f"sqlite:///{folder}/isthmus.db")
    port = free_port()
    environment = os.environ | {"ISTHMUS_DATA_DIR": str(folder)}
    with (folder / "api.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "api", "--port", str(port)], env=environment, stdout=log, stderr=log
        )
    limits = httpx.Limits(max_connections=None)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, limits=limits) as client:
            wait_until(lambda: process.poll() is None and _is_live(client))
            yield client, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(timeout=60)


def _is_live(client: httpx.Client) -> bool:
    try:
        return client.get("/health/live").status_code == 200
    except httpx.TransportError:
        return False


def resident_bytes(server: psutil.Process) -> int:
    """Return the memory of the server and its children."""
    total = 0
    for process in (server, *server.children(recursive=True)):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def upload(client: httpx.Client, name: str, content: bytes) -> httpx.Response:
    return client.post("/datasets", data={"name": name}, files={"file": (name, content)})


def observe(client: httpx.Client, server: psutil.Process, uploads: Sequence["Future[httpx.Response]"]) -> tuple[int, list[float]]:
    """Return the largest memory of the server until the uploads end, and the delays of another client."""
    most, delays = 0, []
    while wait(uploads, timeout=0.05).not_done:
        most = max(most, resident_bytes(server))
        start = time.monotonic()
        assert client.get("/health/live").status_code == 200
        delays.append(time.monotonic() - start)
    return most, delays


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("images.zip", [bombs.images(3, 4900, salt) for salt in range(3)]),
        ("bitmap.zip", [bombs.plain_bitmap(2000)]),
        ("wide.jsonl", [bombs.wide_objects(100_000, 1)]),
    ],
    ids=["images", "plain-bitmaps", "wide-objects"],
)
def test_forty_bombs_at_once_need_little_memory(tmp_path: Path, name: str, contents: list[bytes]) -> None:
    with api(tmp_path) as (client, server), ThreadPoolExecutor(UPLOADS) as clients:
        upload(client, "a.csv", b"x,label\n1,a\n2,b\n")  # the first child is part of the memory before
        before = resident_bytes(server)
        uploads = [clients.submit(upload, client, name, contents[number % len(contents)]) for number in range(UPLOADS)]
        most, delays = observe(client, server, uploads)
        answers = [future.result() for future in uploads]
    assert {answer.status_code for answer in answers} <= {201, 200, 422, 503}
    assert most - before < MAX_EXTRA_BYTES
    assert statistics.median(delays) < MAX_MEDIAN_SECONDS


@pytest.mark.parametrize("unit", [b"[],", b"{},"], ids=["arrays", "objects"])
def test_forty_compressed_predictions_at_once_need_little_memory(tmp_path: Path, unit: bytes) -> None:
    content = gzip.compress(b'{"model":"none","inputs":[' + unit * 10_000_000 + b"0]}")
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    with api(tmp_path) as (client, server), ThreadPoolExecutor(UPLOADS) as clients:
        client.post("/predict", json={"model": "none", "inputs": [1]})
        before = resident_bytes(server)
        bombs = [clients.submit(client.post, "/predict", content=content, headers=headers) for _ in range(UPLOADS)]
        most, delays = observe(client, server, bombs)
        answers = [future.result() for future in bombs]
    assert {answer.status_code for answer in answers} <= {413, 503}
    assert most - before < MAX_EXTRA_BYTES
    assert statistics.median(delays) < MAX_MEDIAN_SECONDS
