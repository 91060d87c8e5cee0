"""The embedded service: HTTP server, workers and beat as processes of this machine, under honcho.

When one process ends, for any reason, all others are stopped and the service ends with its exit code. A supervisor (systemd,
a container engine) then restarts a consistent set of processes, and jobs resume from their checkpoints. No process outlives
`isthmus up`, even if that is killed.
"""

import os
import shlex
import signal
import sys
from contextlib import suppress
from threading import Event, Thread
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import honcho.manager
import honcho.process
import structlog
import typer
from honcho.printer import Message

from app.broker.filesystem_transport import purge_stale_worker_queues
from app.observability.logs import readable_line
from app.processes.parent_death import end_with
from app.settings import Settings

log = structlog.get_logger()

_STOPPED_BY_REQUEST = {128 + signal.SIGINT, 128 + signal.SIGTERM}


def run(settings: Settings, address: tuple[str, int], workers: int, readable: bool = False) -> int:
    """Run until a signal arrives or a process ends, and return the exit code. The log is JSON unless it is `readable`."""
    host, port = address
    # exceeds the time in which a trainer has to write its checkpoint; then the processes are killed
    honcho.manager.KILL_WAIT = settings.cancel_grace_seconds + 15
    purge_stale_worker_queues(settings.broker_dir)
    manager = honcho.manager.Manager(_LogPrinter(readable))
    manager._procmgr = _ProcessSignals()  # noqa: SLF001  # honcho has no public way; its version is bounded
    manager._process_ctor = _Child  # noqa: SLF001  # likewise
    _add(manager, "api", ["api", "--host", host, "--port", str(port)])
    for number in range(1, workers + 1):
        _add(manager, f"worker-{number}", ["worker", "--name", f"worker-{number}-{os.getpid()}"])
    _add(manager, "beat", ["beat"])
    ended = Event()
    Thread(target=_announce, args=(f"http://{host}:{port}", ended), daemon=True).start()
    manager.loop()
    ended.set()
    return 0 if manager.returncode in _STOPPED_BY_REQUEST else int(manager.returncode)


def _add(manager: honcho.manager.Manager, name: str, arguments: list[str]) -> None:
    command = shlex.join([sys.executable, "-P", "-m", "app.cli", *arguments])
    manager.add_process(
        name, f"exec {command}", env=os.environ | {"ISTHMUS_PROCESS_NAME": name, "ISTHMUS_PARENT_PID": str(os.getpid())}
    )


def _announce(url: str, ended: Event) -> None:
    while not ended.wait(0.1):
        with suppress(URLError, OSError), urlopen(f"{url}/health/live", timeout=1):
            typer.secho(f"Isthmus is running at {url} (API documentation: {url}/docs). Press Ctrl-C to stop it.", bold=True)
            return


class _Child(honcho.process.Process):  # type: ignore[misc]  # honcho has no type hints
    """A process of the service. `run` is called in a process of its own, which forwards the output."""

    def run(self, *arguments: Any) -> None:
        if end_with(int(self.env["ISTHMUS_PARENT_PID"])):
            super().run(*arguments)


class _LogPrinter:
    """Printer that passes lines of the processes on and logs those of honcho, as JSON lines or as readable ones."""

    width = 0

    def __init__(self, readable: bool) -> None:
        self._readable = readable

    def write(self, message: Message) -> None:
        if message.name == honcho.manager.SYSTEM_PRINTER_NAME:
            log.info("process", detail=message.data.strip())
        else:
            text = message.data.decode(errors="replace")
            sys.stderr.write("".join(map(readable_line, text.splitlines(True))) if self._readable else text)


class _ProcessSignals:
    """Signals to single processes; honcho signals process groups, but a worker needs its child for a graceful shutdown."""

    def terminate(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)

    def kill(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
