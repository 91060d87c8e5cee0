"""`kill -9` of each process of the embedded service, the first one included: nothing is left, and the next start works."""

import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest

from tests.support.embedded_service import Embedded, up
from tests.support.polling import wait_until
from tests.support.running_processes import QUICK_SETTINGS, named, pool, start_job, trainer, worker
from tests.support.servers import free_port


def start(folder: Path, **settings: str) -> AbstractContextManager[Embedded]:
    return up(folder, workers=1, **QUICK_SETTINGS, **settings)


def assert_all_end(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=15)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def test_killed_service_leaves_nothing_and_starts_again(tmp_path: Path) -> None:
    with start(tmp_path) as embedded:
        start_job(embedded, tmp_path)
        processes = [trainer(embedded), *embedded.descendants()]
        assert len(processes) > 6
        refuse_second_start(tmp_path, embedded)
        embedded.process.kill()
        embedded.process.wait()
        assert_all_end(processes)
    with start(tmp_path) as embedded:
        assert embedded.client.http.get("/health/ready").status_code == 200
        killed = trainer(embedded)  # the job of the killed service resumes
        killed.kill()
        assert_all_end([killed])
        start_job(embedded, tmp_path)
        supervisor, running = pool(embedded), trainer(embedded)
        supervisor.kill()
        assert_all_end([supervisor, running])
        wait_until(lambda: pool(embedded).pid != supervisor.pid, what="the worker to replace its pool process")
        embedded.client.http.get("/health/live").raise_for_status()
        processes = embedded.descendants()
        worker(embedded).kill()
        assert embedded.process.wait(timeout=60) != 0
        assert_all_end(processes)


def refuse_second_start(folder: Path, embedded: Embedded) -> None:
    options = ["--data", str(folder / "data"), "--port", str(free_port())]
    command = [sys.executable, "-P", "-m", "app.cli", "up", *options]
    refused = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    port = embedded.client.http.base_url.port
    assert f"is in use by process {embedded.process.pid} on port {port}." in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("part", ["api", "beat"])
def test_killed_part_ends_the_service_with_an_error(part: str, tmp_path: Path) -> None:
    with start(tmp_path, preload="false") as embedded:
        processes = embedded.descendants()
        named(embedded, part).kill()
        assert embedded.process.wait(timeout=60) != 0
        assert_all_end(processes)
