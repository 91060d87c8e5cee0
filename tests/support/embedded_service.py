"""`isthmus up` in a folder, as a user runs it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.deployed_service import Client
from tests.support.servers import free_port


@dataclass(frozen=True)
class Embedded:
    """A running `isthmus up`."""

    process: "subprocess.Popen[str]"
    client: Client
    log: Path

    def descendants(self) -> list[psutil.Process]:
        children: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return children

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal to the command itself and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@contextmanager
def up(folder: Path, workers: int = 1, **settings: str) -> Iterator[Embedded]:
    """Start the service, wait until it logs its address, and stop all its processes at the end."""
    port = free_port()
    log = folder / "up.log"
    options = ["--data", str(folder / "data"), "--port", str(port), "--workers", str(workers)]
    with log.open("a") as errors:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "app.cli", "up", *options],
            cwd=folder,
            env=os.environ | {f"ISTHMUS_{name.upper()}": value for name, value in settings.items()},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    client = Client(f"http://127.0.0.1:{port}")
    try:
        _wait_until_announced(process, client, log)
        yield Embedded(process, client, log)
    finally:
        client.http.close()
        _end(process)


def _wait_until_announced(process: "subprocess.Popen[str]", client: Client, log: Path) -> None:
    assert process.stdout is not None
    line = process.stdout.readline()  # empty when it ended before it was up
    assert str(client.http.base_url).rstrip("/") in line, log.read_text()


def _end(process: "subprocess.Popen[str]") -> None:
    descendants = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    if process.poll() is None:
        process.terminate()
        process.wait(timeout=60)
    for left in (child for child in descendants if child.is_running()):
        left.kill()
    assert process.stdout is not None
    process.stdout.close()
