"""Real worker processes and a real beat, and methods to stop or kill them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from app.settings import Settings
from tests.support.paths import ROOT
from worker.supervision.trainer_process import environment

POOL = ["-P", "prefork", "-c", "1", "--without-gossip", "--without-mingle"]
WORKER = ["-m", "tests.support.celery_worker", "--quiet", "worker", *POOL]
BEAT = ["-m", "worker", "--quiet", "beat", "--pidfile="]


class Worker:
    """A Celery worker: a main process, its pool process (the supervisor) and, while a job runs, a trainer."""

    def __init__(self, number: int, settings: Settings, log: Path, unfenced: bool) -> None:
        self.number = number
        self._command = [*WORKER, "-n", f"worker-{number}@%h"]
        self._settings = settings
        self._log = log
        self._environment = {"TESTS_UNFENCED": "1"} if unfenced else {}
        self._process = self._start()

    @property
    def main(self) -> psutil.Process:
        return psutil.Process(self._process.pid)

    @property
    def supervisor(self) -> psutil.Process | None:
        return _only_child(self.main)

    @property
    def trainer(self) -> psutil.Process | None:
        supervisor = self.supervisor
        return _only_child(supervisor) if supervisor else None

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def terminate(self) -> None:
        self._process.terminate()

    def wait(self, seconds: float = 30) -> int:
        return self._process.wait(seconds)

    def restart_if_dead(self) -> None:
        if not self.is_alive():
            self._process = self._start()

    def end(self) -> None:
        """Resume and kill all processes of the worker."""
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
                process.kill()
        self._process.kill()
        self._process.wait(10)

    def family(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return [self.main, *self.main.children(recursive=True)]
        return []

    def _start(self) -> subprocess.Popen[bytes]:
        return start(self._command, self._settings, self._log, **self._environment)


@contextmanager
def running_workers(settings: Settings, folder: Path, workers: int, unfenced: bool = False) -> Iterator[list[Worker]]:
    """Run this number of workers and one beat until the block ends."""
    logs = [folder / f"worker-{number}.log" for number in range(workers)]
    started = [Worker(number, settings, log, unfenced) for number, log in enumerate(logs)]
    beat = start(BEAT, settings, folder / "beat.log")
    try:
        yield started
    finally:
        for worker in started:
            worker.end()
        beat.kill()
        beat.wait(10)


def start(arguments: list[str], settings: Settings, log: Path, **variables: str) -> subprocess.Popen[bytes]:
    """Start a Python process of the service with these settings; append its output to the log."""
    path = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, *arguments],
            env=os.environ | environment(settings) | path | variables,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _only_child(process: psutil.Process) -> psutil.Process | None:
    with suppress(psutil.NoSuchProcess):
        children = [child for child in process.children() if child.status() != psutil.STATUS_ZOMBIE]
        return children[0] if children else None
    return None
