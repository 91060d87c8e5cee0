"""The supervisor: it claims a job, runs its trainer, keeps the lease and records the end. Imports no torch.

All writes go through `app.services.leases`, fenced by (attempt, owner). When one of them finds that the lease was lost, the
trainer is killed and nothing more is written. During a database outage the trainer continues until the lease must have expired.
An unexpected exception ends the trainer too; the lease then expires and the job is tried again.
"""

import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.orm import Session, sessionmaker

from app.broker.queue import JobQueue
from app.db.outages import OUTAGE_ERRORS, tolerate_outage
from app.errors import ServiceUnavailable
from app.job_types import JOB_TYPES
from app.job_types.base import JobType
from app.services import leases
from app.services.leases import Lease
from app.settings import Settings
from worker.supervision.attempt import Attempt, Outcome
from worker.supervision.heartbeats import own_id
from worker.supervision.storage_cleanup import delete_orphaned_files
from worker.supervision.trainer_process import ChildProcess, SpawnedTrainer, TrainerProcess, arguments, trainer_environment
from worker.supervision.trainer_template import TrainerTemplate

log = structlog.get_logger()

TRAINER = "worker.trainer"
"""The module that runs one attempt of a job."""
LAUNCHER = "worker.distributed.launcher"
"""The module that starts the trainer whose command follows several times."""


class Supervisor:
    """A runner of jobs, one at a time. While a job runs it polls `draining`; once true, the job is given back."""

    def __init__(
        self,
        settings: Settings,
        sessions: sessionmaker[Session],
        queue: JobQueue,
        draining: Callable[[], bool] = lambda: False,
        trainer: str = TRAINER,
        template: TrainerTemplate | None = None,
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._queue = queue
        self._draining = draining
        self._trainer = trainer
        self._template = template

    def run_job(self, job_id: UUID) -> Outcome | None:
        """Run this job, or one that is preferred to it (`leases.next_waiting`). Return None if no job waits."""
        if self._draining():
            self._requeue_message(job_id)
            return None
        claimed = self._claim(job_id)
        return self._run_claimed(*claimed) if claimed else None

    def _claim(self, named: UUID) -> tuple[Lease, JobType[Any]] | None:
        owner = f"{own_id()}:{uuid.uuid4().hex[:8]}"
        with self._sessions.begin() as session:
            job_id = leases.next_waiting(session, named)
            claimed = job_id and leases.claim(session, job_id, owner, self._settings.lease_seconds)
        if not claimed:
            log.info("job.not_claimed", job_id=str(named))
            return None
        lease, job = claimed
        return lease, JOB_TYPES[job.kind]

    def _run_claimed(self, lease: Lease, job_type: JobType[Any]) -> Outcome:
        with structlog.contextvars.bound_contextvars(job_id=str(lease.job_id), attempt=lease.attempt):
            log.info("job.claimed", owner=lease.owner, kind=job_type.name)
            outcome = self._attempt(lease, job_type)
            log.info(f"job.{outcome}")
            if outcome is Outcome.RELEASED:
                self._requeue_message(lease.job_id)
            elif outcome is not Outcome.POSTPONED:
                self._clean_up(lease.job_id if outcome is Outcome.LOST else None)
            return outcome

    def _attempt(self, lease: Lease, job_type: JobType[Any]) -> Outcome:
        with (
            _run_folder(self._settings.scratch_dir / "runs", lease) as folder,
            TrainerProcess(self._start_trainer(job_type, lease, folder), folder) as trainer,
        ):
            log.info("trainer.started", pid=trainer.pid)
            attempt = Attempt(lease, job_type, trainer, self._sessions, self._settings, self._draining)
            return attempt.record_end() if attempt.supervise() else Outcome.LOST

    def _start_trainer(self, job_type: JobType[Any], lease: Lease, folder: Path) -> ChildProcess:
        is_distributed = job_type.may_use_several_processes and self._settings.train_processes > 1
        if self._template is not None and not is_distributed:
            return self._template.fork(self._trainer, arguments(lease), folder, trainer_environment(self._settings, folder))
        command = [*_python(LAUNCHER), *_python(self._trainer)] if is_distributed else _python(self._trainer)
        return SpawnedTrainer(command, lease, folder, self._settings)

    def _clean_up(self, abandoned_job_id: UUID | None) -> None:
        try:
            storage = self._settings.open_storage()
            delete_orphaned_files(self._sessions, storage, abandoned_job_id)
        except OUTAGE_ERRORS as error:
            tolerate_outage(error)

    def _requeue_message(self, job_id: UUID) -> None:
        """Notify another worker of a job that this one cannot run; without the broker the sweep will."""
        try:
            self._queue.send(job_id)
        except ServiceUnavailable:
            log.warning("job.requeue_failed")


def _python(module: str) -> list[str]:
    return [sys.executable, "-P", "-m", module]


@contextmanager
def _run_folder(root: Path, lease: Lease) -> Iterator[Path]:
    """Make an empty folder for the attempt; remove it afterwards, and those of killed supervisors before."""
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob(f"{lease.job_id}-*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = root / f"{lease.job_id}-{lease.attempt}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
