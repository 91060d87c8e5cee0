"""Supervisors that run the fake trainer, and the jobs they run."""

from collections.abc import Callable
from threading import Thread
from uuid import UUID

import psutil
from sqlalchemy import update
from sqlalchemy.orm import Session, sessionmaker

from app.broker.queue import CeleryQueue, make_celery
from app.db.tables import JobRow
from app.job_state import JobStatus
from app.services import job_events, leases
from app.settings import Settings
from tests.support.factories import make_job
from tests.support.fake_trainer import FAKE_TRAINER
from tests.support.list_queue import ListQueue
from worker.supervision.attempt import Outcome
from worker.supervision.supervisor import Supervisor

Sessions = sessionmaker[Session]


def add_job(sessions: Sessions, *, max_attempts: int = 3, **params: object) -> UUID:
    with sessions.begin() as session:
        return make_job(session, max_attempts=max_attempts, params={"algorithm": "fine_tune", **params}).id


def record_kill(sessions: Sessions, job_id: UUID) -> None:
    """Record that a process of the job was killed before, so that it gets no other attempt after the next time."""
    with sessions.begin() as session:
        job_events.record(session, session.get_one(JobRow, job_id), "requeued", reason=leases.KILLED)


def read_job(sessions: Sessions, job_id: UUID) -> JobRow:
    with sessions() as session:
        return session.get_one(JobRow, job_id)


def supervisor(settings: Settings, sessions: Sessions, draining: Callable[[], bool] = lambda: False) -> Supervisor:
    return Supervisor(settings, sessions, ListQueue(), draining, FAKE_TRAINER)


def is_training(sessions: Sessions, job_id: UUID, checkpoint: bool = True) -> Callable[[], bool]:
    def condition() -> bool:
        job = read_job(sessions, job_id)
        return job.progress > 0 and (job.checkpoint is not None or not checkpoint)

    return condition


class InThread:
    """A run of the supervisor beside the test."""

    def __init__(self, supervisor: Supervisor, job_id: UUID) -> None:
        self.outcome: Outcome | None = None
        self._thread = Thread(target=self._run, args=(supervisor, job_id))
        self._thread.start()

    def _run(self, supervisor: Supervisor, job_id: UUID) -> None:
        self.outcome = supervisor.run_job(job_id)

    def join(self) -> Outcome | None:
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.outcome


def trainers() -> list[psutil.Process]:
    """Return the live trainer processes of this test."""
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE and "tests.support.fake_trainer" in child.cmdline()
    ]


def request_cancel(sessions: Sessions, job_id: UUID) -> None:
    with sessions.begin() as session:
        running = (JobRow.id == job_id, JobRow.status == JobStatus.RUNNING)
        session.execute(update(JobRow).where(*running).values(status=JobStatus.CANCELLING))


def send_messages(settings: Settings, *job_ids: UUID) -> None:
    queue = CeleryQueue(make_celery(settings))
    for job_id in job_ids:
        queue.send(job_id)
