"""The demo's embedded service, in a folder of its own, stopped at the end of the block."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import typer

import isthmus
from app.cli.errors import CommandError
from app.demo.client import wait_until_ready
from app.processes.data_lock import DataFolderInUseError, require_unlocked

MARK = "made-by-isthmus-demo"
START_SECONDS = 90.0
STOP_SECONDS = 60.0


@contextmanager
def running(folder: Path, port: int) -> Iterator[isthmus.Client]:
    """Start `isthmus up` with its data in `folder` and wait until it is ready."""
    _empty(folder)
    log = folder / "service.log"
    command = [sys.executable, "-P", "-m", "app.cli", "up", "--data", str(folder.absolute()), "--port", str(port)]
    # its own session: Ctrl-C reaches only the demo, which then stops the service gracefully
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=_environment(), stdout=output, stderr=output, start_new_session=True)
    client = isthmus.Client(f"http://127.0.0.1:{port}", max_retries=0)
    try:
        if not wait_until_ready(client, START_SECONDS, lambda: process.poll() is None):
            raise CommandError(f"The service did not start. Its log, {log}, ends with:\n{_tail(log)}")
        yield client
    finally:
        client.close()
        _stop(process)


def _environment() -> dict[str, str]:
    """Return the environment of the service, without the servers that the caller's environment names.

    One thread is enough for its small networks; a second one slows them down if other programs use the core.
    """
    urls = {"ISTHMUS_DATABASE_URL": "", "ISTHMUS_BROKER_URL": "", "ISTHMUS_STORAGE_URL": ""}
    return {"ISTHMUS_TRAIN_THREADS": "1"} | os.environ | urls | {"ISTHMUS_PARENT_PID": str(os.getpid())}


def _empty(folder: Path) -> None:
    """Empty the folder of an earlier demo. Never delete other files."""
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise CommandError(f"{folder} is not empty and was not made by an earlier demo. Choose another folder with --data.")
    try:
        require_unlocked(folder)
    except DataFolderInUseError as error:
        raise CommandError(str(error)) from error
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)  # before the message, which fails if the terminal is closed
    typer.echo("\nStopping the service ...")
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
