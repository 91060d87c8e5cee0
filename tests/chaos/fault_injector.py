"""Random faults in workers while jobs run, reproducible by a seed."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import psutil
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from app.db.tables import JobRow
from app.errors import IllegalTransition
from app.job_state import ACTIVE
from app.job_types.adaptation import ADAPTATION
from app.services import jobs
from app.settings import Settings
from tests.support.polling import wait_until
from tests.support.worker_pool import Worker


@dataclass
class FaultInjector:
    """Injects faults into workers that can suffer them, and counts the faults in `done`."""

    workers: list[Worker]
    sessions: sessionmaker[Session]
    settings: Settings
    seed: int
    done: Counter[str] = field(default_factory=Counter)
    _stalled: list[tuple[float, list[psutil.Process]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def inject(self, seconds: float, pause_seconds: float, acts: dict[str, int]) -> None:
        """Inject faults with these weights and pauses; restart dead workers at once."""
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            self._act(self._random.choices(list(acts), list(acts.values()))[0])
            resumes_at = time.monotonic() + pause_seconds * self._random.uniform(0.5, 1.5)
            while time.monotonic() < resumes_at:
                self._tend()
                time.sleep(0.05)

    def wait_for_recovery(self) -> None:
        """Wait until all workers run again."""
        wait_until(self._all_awake, what="stalled processes")

    def stall_until_claimed_again(self) -> None:
        """Stop the supervisor of a training job until another worker has claimed the job, then resume it."""
        worker, job = wait_until(self._training, what="a job that trains")
        supervisor = worker.supervisor
        assert supervisor is not None
        supervisor.suspend()
        try:
            wait_until(lambda: self._attempt_of(job) > job.attempt, 60, "the next claim of a stalled job")
        finally:
            supervisor.resume()
        self.done["stall_supervisor"] += 1

    def _all_awake(self) -> bool:
        self._tend()
        return not self._stalled and all(worker.is_alive() for worker in self.workers)

    def _tend(self) -> None:
        now = time.monotonic()
        for until, processes in [stalled for stalled in self._stalled if stalled[0] <= now]:
            self._stalled.remove((until, processes))
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.resume()
        for worker in self.workers:
            worker.restart_if_dead()

    def _act(self, name: str) -> None:
        acts: dict[str, Callable[[], bool]] = {
            "kill_worker": lambda: self._signal(lambda worker: worker.main, signal.SIGKILL),
            "kill_supervisor": lambda: self._signal(lambda worker: worker.supervisor, signal.SIGKILL),
            "kill_trainer": lambda: self._signal(lambda worker: worker.trainer, signal.SIGKILL),
            "drain_worker": lambda: self._signal(lambda worker: worker.main, signal.SIGTERM),
            "stall_supervisor": lambda: self._stall(lambda worker: [worker.supervisor]),
            "stall_worker": lambda: self._stall(lambda worker: worker.family()),
            "cancel_job": self._cancel,
        }
        with suppress(psutil.NoSuchProcess):
            self.done[name] += acts[name]()

    def _signal(self, part: Callable[[Worker], psutil.Process | None], number: int) -> bool:
        victims = [process for worker in self._busy() if (process := part(worker))]
        if victims:
            self._random.choice(victims).send_signal(number)
        return bool(victims)

    def _stall(self, parts: Callable[[Worker], list[psutil.Process | None] | list[psutil.Process]]) -> bool:
        """Stop the processes for longer than the lease."""
        victims = self._busy()
        if not victims or self._stalled:
            return False
        processes = [process for process in parts(self._random.choice(victims)) if process]
        for process in processes:
            process.suspend()
        self._stalled.append((time.monotonic() + 1.5 * self.settings.lease_seconds, processes))
        return True

    def _cancel(self) -> bool:
        with suppress(IllegalTransition), self.sessions.begin() as session:
            job_ids = session.scalars(
                select(JobRow.id).where(JobRow.kind == ADAPTATION.name, JobRow.status.in_(ACTIVE)).order_by(JobRow.created_at)
            ).all()
            if job_ids:
                jobs.cancel(session, self._random.choice(job_ids))
            return bool(job_ids)
        return False  # the job ended in the meantime

    def _busy(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.is_alive() and worker.trainer]

    def _training(self) -> tuple[Worker, JobRow] | None:
        """Return the only training job with its worker; None if several jobs train."""
        busy = self._busy()
        with self.sessions() as session:
            training = session.scalars(select(JobRow).where(JobRow.checkpoint.is_not(None), JobRow.status.in_(ACTIVE))).all()
        return (busy[0], training[0]) if len(busy) == len(training) == 1 else None

    def _attempt_of(self, job: JobRow) -> int:
        with self.sessions() as session:
            return session.get_one(JobRow, job.id).attempt
