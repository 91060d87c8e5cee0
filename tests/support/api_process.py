"""`isthmus api` as a process of its own, without workers."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.polling import wait_until
from tests.support.servers import free_port


@contextmanager
def api_process(folder: Path, empty_sqlite: Path, **environment: str) -> Iterator[tuple[str, int]]:
    """Serve a copy of a migrated SQLite database until the block ends; yield the address. The log goes to `api.log`."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(empty_sqlite, folder / "isthmus.db")
    port = free_port()
    variables = {**os.environ, "ISTHMUS_DATA_DIR": str(folder), **environment}
    with (folder / "api.log").open("wb") as log:
        command = [sys.executable, "-m", "app.cli", "api", "--port", str(port)]
        process = subprocess.Popen(command, env=variables, stdout=log, stderr=log)
    try:
        wait_until(lambda: _is_live(port), 60, "the server")
        yield "127.0.0.1", port
    finally:
        process.terminate()
        process.wait(timeout=30)


def _is_live(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/live", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
