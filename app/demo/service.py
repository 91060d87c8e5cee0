"""The demo's own embedded service, in a folder of its own, gone when the block ends."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from app.demo.client import Client

MARK = "made-by-isthmus-demo"
START_SECONDS = 90.0
STOP_SECONDS = 60.0


@contextmanager
def running(folder: Path, port: int) -> Iterator[Client]:
    """`isthmus up` with its data in `folder`, ready to answer."""
    _empty(folder)
    log = folder / "service.log"
    command = [sys.executable, "-P", "-m", "app.cli", "up", "--data", str(folder.absolute()), "--port", str(port)]
    # its own session: Ctrl-C is for the demo, which then stops the service in order
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=_environment(), stdout=output, stderr=output, start_new_session=True)
    client = Client(f"http://127.0.0.1:{port}")
    try:
        if not client.wait_until_ready(START_SECONDS, lambda: process.poll() is None):
            raise click.ClickException(f"The service did not start. Its log, {log}, ends with:\n{_tail(log)}")
        yield client
    finally:
        client.close()
        _stop(process)


def _environment() -> dict[str, str]:
    """The demo is the embedded service, whatever servers the environment names.

    Its networks are so small that a second thread gains little, and loses much when other programs want the core.
    """
    urls = {"ISTHMUS_DATABASE_URL": "", "ISTHMUS_BROKER_URL": "", "ISTHMUS_STORAGE_URL": ""}
    return {"ISTHMUS_TRAIN_THREADS": "1"} | os.environ | urls


def _empty(folder: Path) -> None:
    """Start afresh, but never delete what the demo did not make."""
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise click.ClickException(f"{folder} is not empty and not of a former demo. Choose another folder with --data.")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)  # first: where the terminal is gone, saying so fails
    click.echo("\nStopping the service ...")
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
