"""What the demo asks of the service, with the Python client as in a user's script."""

import sys
import time
from collections.abc import Callable
from typing import Any

import typer

import isthmus
from app.cli.errors import CommandError


def wait_until_ready(client: isthmus.Client, seconds: float, alive: Callable[[], bool]) -> bool:
    """Return whether the service became ready within this time, while it is alive."""
    deadline = time.monotonic() + seconds
    while alive() and time.monotonic() < deadline:
        try:
            client.service.ready()
        except isthmus.IsthmusError:
            time.sleep(0.1)
        else:
            return True
    return False


def adapt(client: isthmus.Client, job: dict[str, Any]) -> isthmus.Version:
    """Queue a job, show its progress until it ends, and return its version."""
    state = client.jobs.submit(**job)
    bar = ProgressBar(state.params["algorithm"])
    while not bar.show(state.data)["finished_at"]:
        state = client.jobs.get(state, wait=2)
    bar.end()
    if state.version is None:
        raise CommandError(f"The job ended as {state.status}: {state.error}")
    return client.models.get_version(state.version["model"], state.version["number"])


class ProgressBar:
    """A progress bar on a terminal, a line every fifth of the way elsewhere."""

    def __init__(self, name: str, width: int = 30) -> None:
        self._name, self._width = name, width
        self._start = time.monotonic()
        self._printed = ("", -1)

    def show(self, job: Any) -> Any:
        """Draw the state of the job and return the job."""
        status, progress, eta = job["status"], job["progress"], job["eta_seconds"]
        filled = "#" * round(progress * self._width)
        rest = f"{eta:.0f} s left" if status == "running" and eta else status
        line = f"  {self._name:<13} [{filled:.<{self._width}}] {progress:4.0%}  {time.monotonic() - self._start:4.0f} s  {rest}"
        step = (status, int(progress * 5))
        if sys.stdout.isatty():
            typer.echo(f"\r{line:<79}", nl=False)
        elif step != self._printed:
            typer.echo(line)
        self._printed = step
        return job

    def end(self) -> None:
        if sys.stdout.isatty():
            typer.echo()
