"""The attacked service: `isthmus api` with one version that predicts and one running job, and what an attack needs besides."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from app.db.migrate import upgrade
from app.db.session import SessionFactory, make_engine
from app.job_state import JobStatus
from app.services import job_events
from app.storage import Storage
from benchmarks.database.fill import fill
from tests.support.factories import make_job
from tests.support.polling import wait_until
from tests.support.published_models import export_network, store_version
from tests.support.servers import free_port
from tests.support.small_disk import mounted_disk

MODEL = "victim"
ADMIN_KEY = "admin-key-of-the-protected-servers"


@dataclass(frozen=True)
class Setting:
    """What an attack needs: a small disk, many jobs, more servers. Attacks on services of their own are not observed."""

    disk_megabytes: int = 0
    jobs: int = 0
    protected_servers: int = 0
    observed: bool = True


@dataclass(frozen=True)
class Target:
    """A running service with its folder. `protected` are the ports of further servers of its database, which require keys."""

    port: int
    process_id: int
    job_id: str
    folder: Path
    protected: tuple[int, ...] = ()

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
def serve(folder: Path, database: str, setting: Setting) -> Iterator[Target]:
    """Start the service with an empty database and stop it when the block ends."""
    with ExitStack() as stack:
        if setting.disk_megabytes:
            folder = stack.enter_context(mounted_disk(folder / "disk", setting.disk_megabytes))
        url = database or f"sqlite:///{folder}/isthmus.db"
        job_id = _fill(folder, url, setting.jobs)
        variables = {"ISTHMUS_DATA_DIR": str(folder), "ISTHMUS_DATABASE_URL": url, "ISTHMUS_LOG_LEVEL": "error"}
        port, process_id = stack.enter_context(_server(folder, variables))
        locks = {"ISTHMUS_AUTH": "required", "ISTHMUS_ADMIN_KEY": ADMIN_KEY}
        others = [stack.enter_context(_server(folder, {**variables, **locks})) for _ in range(setting.protected_servers)]
        yield Target(port, process_id, job_id, folder, tuple(other for other, _ in others))


@contextmanager
def _server(folder: Path, variables: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    """Run `isthmus api` until the block ends; yield its port and its process."""
    port = free_port()
    with (folder / f"api-{port}.log").open("wb") as log:
        command = [sys.executable, "-m", "app.cli", "api", "--port", str(port)]
        process = subprocess.Popen(command, env={**os.environ, **variables}, stdout=log, stderr=log)
    try:
        wait_until(lambda: _is_ready(port), 60, "the server")
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(timeout=60)


def _fill(folder: Path, url: str, jobs: int) -> str:
    upgrade(url)
    (exported_to := folder / "exported").mkdir()
    exported = export_network("tabular", ["no", "yes"], exported_to)
    engine = make_engine(url)
    fill(engine, 0, jobs)
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
