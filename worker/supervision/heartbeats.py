"""The heartbeats of a worker: a thread in the process of the supervisor writes them with the hardware.

Leases show only workers that run a job; these rows also show idle and lost ones.
"""

import os
import socket
import time
from collections.abc import Callable
from threading import Thread
from typing import Any

import structlog
from sqlalchemy.orm import Session, sessionmaker

from app.db.outages import OUTAGE_ERRORS, tolerate_outage
from app.observability import workers
from app.settings import Settings
from worker.supervision.gpus import gpus

log = structlog.get_logger()


def own_id() -> str:
    """Return the id of this worker process: the first two parts of the owner of its leases."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Heartbeats:
    """Sends heartbeats until the process ends."""

    def __init__(self, sessions: Callable[[], sessionmaker[Session]], settings: Settings) -> None:
        self._sessions = sessions
        self._settings = settings

    def start(self) -> None:
        """Run in a thread of this process."""
        Thread(target=self._run, name="heartbeats", daemon=True).start()

    def send(self) -> None:
        """Send one heartbeat."""
        with self._sessions().begin() as session:
            workers.beat(session, own_id(), socket.gethostname(), device(self._settings))

    def _run(self) -> None:
        while True:
            try:
                self.send()
            except OUTAGE_ERRORS as error:
                tolerate_outage(error)
            except Exception:  # the thread must outlive an error of the driver
                log.exception("worker.heartbeat_failed")
            time.sleep(self._settings.heartbeat_seconds)


def device(settings: Settings) -> dict[str, Any]:
    """Return the hardware of this worker, as `DeviceOut` describes it."""
    found = [] if settings.device == "cpu" else gpus()
    return {"kind": "cuda" if found else "cpu", "cores": len(os.sched_getaffinity(0)), "gpus": found}
