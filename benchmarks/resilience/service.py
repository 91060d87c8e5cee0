"""The attacked service: `isthmus api` with one version that predicts and one running job."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from app.db.migrate import upgrade
from app.db.session import SessionFactory, make_engine
from app.job_state import JobStatus
from app.services import job_events
from app.storage import Storage
from tests.support.factories import make_job
from tests.support.polling import wait_until
from tests.support.published_models import export_network, store_version
from tests.support.servers import free_port

MODEL = "victim"


@dataclass(frozen=True)
class Target:
    """A running service."""

    port: int
    process_id: int
    job_id: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def resident_bytes(self) -> int:
        """Return the memory of the server and its child processes."""
        server = psutil.Process(self.process_id)
        total = 0
        for process in (server, *server.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total


@contextmanager
def serve(folder: Path, database: str) -> Iterator[Target]:
    """Start the service with an empty database and stop it when the block ends."""
    url = database or f"sqlite:///{folder}/isthmus.db"
    job_id = _fill(folder, url)
    port = free_port()
    variables = {"ISTHMUS_DATA_DIR": str(folder), "ISTHMUS_DATABASE_URL": url, "ISTHMUS_LOG_LEVEL": "error"}
    with (folder / "api.log").open("wb") as log:
        command = [sys.executable, "-m", "app.cli", "api", "--port", str(port)]
        process = subprocess.Popen(command, env={**os.environ, **variables}, stdout=log, stderr=log)
    try:
        wait_until(lambda: _is_ready(port), 60, "the server")
        yield Target(port, process.pid, job_id)
    finally:
        process.terminate()
        process.wait(timeout=60)


def _fill(folder: Path, url: str) -> str:
    upgrade(url)
    (exported_to := folder / "exported").mkdir()
    exported = export_network("tabular", ["no", "yes"], exported_to)
    engine = make_engine(url)
    with SessionFactory(engine)() as session:
        for _ in range(2):
            store_version(session, Storage(f"file://{folder}/storage"), exported, MODEL)
        job = make_job(session, status=JobStatus.RUNNING)
        job_events.record(session, job, "started")
        session.commit()
        job_id = str(job.id)
    engine.dispose()
    return job_id


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/live", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
