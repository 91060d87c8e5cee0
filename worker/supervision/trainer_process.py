"""The trainer as a child process of its supervisor: it reports, can be asked to stop and can be killed."""

import os
import signal
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock, Thread
from typing import IO, Protocol, Self

import structlog
from pydantic import SecretStr, ValidationError

from app.schemas.trainer_messages import Report
from app.services.leases import Lease
from app.settings import Settings

log = structlog.get_logger()

HUB_TOKENS = {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}
TAIL_LINES = 30
LOG_LINES = 200
MAX_LINE_BYTES = 4096
RUNTIME = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "OMP_WAIT_POLICY": "PASSIVE",
    "OPENBLAS_NUM_THREADS": "1",
}
"""Settings of the C libraries. glibc keeps large activations, instead of requesting them from the kernel in every step. Threads
of OpenMP sleep while they wait: on busy cores, active ones delay those that they wait for, and a step takes 10 times as long.
Those of OpenBLAS, which plain methods use, cannot sleep: two of them took 5 times as long as one."""


class ChildProcess(Protocol):
    """A started trainer with pipes from its standard output and standard error."""

    @property
    def pid(self) -> int | None: ...
    @property
    def stdout(self) -> IO[bytes] | None: ...
    @property
    def stderr(self) -> IO[bytes] | None: ...

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def terminate(self) -> None: ...
    def kill_group(self) -> None: ...


class SpawnedTrainer(subprocess.Popen[bytes]):
    """A trainer that runs a command as a new process.

    Start it in a thread that lives as long as the trainer: the kernel kills the trainer when that *thread* ends.
    """

    def __init__(self, command: Sequence[str], lease: Lease, folder: Path, settings: Settings) -> None:
        super().__init__(
            [*command, *arguments(lease), "--supervisor", str(os.getpid())],
            cwd=folder,
            env=trainer_environment(settings, folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def kill_group(self) -> None:
        """End the trainer and everything it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


class TrainerProcess:
    """A context manager that ends the trainer, and everything it started, when its block ends."""

    def __init__(self, process: ChildProcess, folder: Path) -> None:
        self.folder = folder
        self._process = process
        self._lock = Lock()
        self._pending: Report | None = None
        self._lines: deque[str] = deque(maxlen=TAIL_LINES)
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._logged = 0
        self._output_closed = Event()
        self._threads = [Thread(target=self._read_reports, daemon=True), Thread(target=self._read_errors, daemon=True)]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait(self, seconds: float) -> None:
        """Wait for the end of the trainer, at most `seconds`."""
        if self._output_closed.wait(seconds):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)

    def drain_reports(self) -> Report | None:
        """Return everything reported since the last call, as one report."""
        with self._lock:
            report, self._pending = self._pending, None
        return report

    def stop(self) -> None:
        """Ask the trainer to end after a checkpoint."""
        self._process.terminate()

    def kill(self) -> None:
        """End the trainer and everything it started, now."""
        self._process.kill_group()

    def exit_code(self) -> int:
        """Return the exit code, negative for a signal, after reading the last output."""
        code = self._process.wait()
        for thread in self._threads:
            thread.join(1)  # a grandchild may keep the pipes open
        return code

    def stderr_tail(self) -> list[str]:
        """Return the last lines of standard error."""
        return list(self._lines)

    def log(self) -> tuple[int, list[str]]:
        """Return how many lines the log ever had, and the last of them: phases and standard error, with times."""
        with self._lock:
            return self._logged, list(self._log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._process.wait()
        for thread, pipe in zip(self._threads, (self._process.stdout, self._process.stderr), strict=True):
            thread.join()
            _opened(pipe).close()

    def _read_reports(self) -> None:
        for line in _opened(self._process.stdout):
            try:
                report = Report.model_validate_json(line)
            except ValidationError as error:
                log.warning("trainer.unreadable_report", error=str(error))
                continue
            if report.phase:
                self._add_to_log(f"phase: {report.phase}")
            with self._lock:
                self._pending = merged(self._pending, report)
        self._output_closed.set()

    def _read_errors(self) -> None:
        pipe = _opened(self._process.stderr)
        while line := pipe.readline(MAX_LINE_BYTES):
            text = line.decode(errors="replace").rstrip()
            self._lines.append(text)
            self._add_to_log(text)
            log.debug("trainer.stderr", line=text)

    def _add_to_log(self, text: str) -> None:
        with self._lock:
            self._logged += 1
            time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            self._log.append(f"{time} {text}")


def merged(earlier: Report | None, later: Report | None) -> Report | None:
    """Merge two reports into one."""
    if earlier is None or later is None:
        return earlier or later
    return Report(
        progress=later.progress,
        metrics=earlier.metrics + later.metrics,
        warnings=earlier.warnings + later.warnings,
        checkpoint=later.checkpoint or earlier.checkpoint,
        phase=later.phase or earlier.phase,
        training_precision=later.training_precision or earlier.training_precision,
    )


def arguments(lease: Lease) -> list[str]:
    """Return the command-line arguments of the trainer of an attempt."""
    return [str(lease.job_id), str(lease.attempt)]


def trainer_environment(settings: Settings, folder: Path | None = None) -> dict[str, str]:
    """Return the environment of a trainer, whose temporary files disappear with its folder."""
    temporary = {"TMPDIR": str(folder)} if folder else {}
    return RUNTIME | _without_hub_tokens(os.environ) | environment(settings) | temporary


def environment(settings: Settings) -> dict[str, str]:
    """Return all settings as variables, so that a trainer in another folder has the same ones, but no key of the API."""
    values = settings.model_dump() | {"data_dir": settings.data_dir.absolute(), "admin_key": ""}
    return {f"ISTHMUS_{name.upper()}": _plain(value) for name, value in values.items()}


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _without_hub_tokens(variables: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which no library sends a token of the Hub for an encoder that a caller chose."""
    kept = {name: value for name, value in variables.items() if name not in HUB_TOKENS}
    return kept | {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}


def _opened(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
