"""Claims a job, runs its trainer, keeps the lease and records the end. Imports no torch.

All writes go through `app.services.leases`, fenced by (attempt, owner). When one of them finds the lease gone, the trainer is
killed and nothing more is written. While the database is away the trainer goes on until the lease must have run out. An
exception that is not foreseen here ends the trainer too; the lease then runs out and the job is tried again.
"""

import os
import shutil
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from uuid import UUID

import structlog
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.orm import Session, sessionmaker

from app.errors import ServiceUnavailable
from app.job_state import JobKind, JobStatus
from app.queue import JobQueue
from app.schemas.reports import RESULT_FILE, AnyResult, Output, Report, Result, Tried
from app.services import leases
from app.services.leases import Lease
from app.settings import Settings
from app.storage import Storage
from worker.absence import DATABASE_AWAY, bear
from worker.endings import Failure, failure_of, no_result, timeout_of
from worker.exit_codes import ExitCode
from worker.leftovers import remove_leftovers
from worker.process import TrainerProcess, merged

log = structlog.get_logger()

TRAINER: Sequence[str] = (sys.executable, "-P", "-m", "worker.trainer")
RANKS: Sequence[str] = (sys.executable, "-P", "-m", "worker.ranks")
"""Starts the trainer whose command follows several times."""
TICK_SECONDS = 0.25
NEWS_SECONDS = 1.0  # what a trainer reports is passed on this soon, so that progress moves


class Outcome(StrEnum):
    """How an attempt ended for its supervisor; the log says `job.{outcome}`."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RELEASED = "released"
    LOST = "lost"


class Supervisor:
    """Runs jobs, one at a time. `draining` is asked again and again: once true, the running job is given back."""

    def __init__(
        self,
        settings: Settings,
        sessions: sessionmaker[Session],
        queue: JobQueue,
        draining: Callable[[], bool] = lambda: False,
        trainer: Sequence[str] = TRAINER,
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._queue = queue
        self._draining = draining
        self._trainer = trainer

    def run_job(self, job_id: UUID) -> Outcome | None:
        """Run the job if this worker gets it; None when it does not."""
        with structlog.contextvars.bound_contextvars(job_id=str(job_id)):
            if self._draining():
                self._hand_on(job_id)
                return None
            claimed = self._claim(job_id)
            return self._run_claimed(*claimed) if claimed else None

    def _claim(self, job_id: UUID) -> tuple[Lease, JobKind] | None:
        owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        with self._sessions.begin() as session:
            claimed = leases.claim(session, job_id, owner, self._settings.lease_seconds)
        if claimed is None:
            log.info("job.not_claimed")
            return None
        lease, job = claimed
        return lease, job.kind

    def _run_claimed(self, lease: Lease, kind: JobKind) -> Outcome:
        with structlog.contextvars.bound_contextvars(attempt=lease.attempt):
            log.info("job.claimed", owner=lease.owner, kind=kind.value)
            outcome = self._attempt(lease, kind)
            log.info(f"job.{outcome}")
            if outcome is Outcome.RELEASED:
                self._hand_on(lease.job_id)
            else:
                self._clean_up(lease.job_id if outcome is Outcome.LOST else None)
            return outcome

    def _attempt(self, lease: Lease, kind: JobKind) -> Outcome:
        with (
            _run_folder(self._settings.scratch_dir / "runs", lease) as folder,
            TrainerProcess(self._command(kind), lease, folder, self._settings) as trainer,
        ):
            log.info("trainer.started", pid=trainer.pid)
            attempt = Attempt(lease, kind, trainer, folder, self._sessions, self._settings, self._draining)
            return attempt.end() if attempt.watch() else Outcome.LOST

    def _command(self, kind: JobKind) -> Sequence[str]:
        several = kind is not JobKind.PREDICT and self._settings.train_processes > 1
        return [*RANKS, *self._trainer] if several else self._trainer

    def _clean_up(self, lost: UUID | None) -> None:
        try:
            remove_leftovers(self._sessions, Storage(self._settings.storage), lost)
        except DATABASE_AWAY as error:
            bear(error)

    def _hand_on(self, job_id: UUID) -> None:
        """Tell another worker of a job that this one cannot take; if the broker is away, the sweep will."""
        try:
            self._queue.send(job_id)
        except ServiceUnavailable:
            log.warning("job.not_handed_on")


class Attempt:
    """One run of one trainer under one lease."""

    def __init__(
        self,
        lease: Lease,
        kind: JobKind,
        trainer: TrainerProcess,
        folder: Path,
        sessions: sessionmaker[Session],
        settings: Settings,
        draining: Callable[[], bool],
    ) -> None:
        self._lease = lease
        self._kind = kind
        self._trainer = trainer
        self._folder = folder
        self._sessions = sessions
        self._settings = settings
        self._draining = draining
        now = time.monotonic()
        self._times_out_at = now + settings.job_timeout_seconds
        self._lease_ends_at = now + settings.lease_seconds
        self._tried_at = now
        self._kill_at: float | None = None
        self._timed_out = False
        self._cancelling = False
        self._unsent: Report | None = None

    def watch(self) -> bool:
        """Until the trainer has ended, for whatever reason. False when the lease was lost: write nothing more."""
        while self._trainer.is_running():
            self._trainer.wait(TICK_SECONDS)
            self._unsent = merged(self._unsent, self._trainer.take_report())
            if self._heartbeat_is_due() and not self._keep_lease():
                return False
            self._enforce_timeout()
            self._pass_on_stop()
        return True

    def end(self) -> Outcome:
        """Record how the trainer ended, with its last reports, in one transaction; try again while the database is away."""
        code = self._trainer.exit_code()
        log.info("trainer.ended", exit_code=code)
        if code == ExitCode.UNAVAILABLE:
            log.warning("trainer.unavailable", error=self._trainer.last_lines()[-1:])
            return Outcome.LOST  # the lease runs out, and the job goes on from its checkpoint while it has attempts left
        result = self._result() if code == ExitCode.DONE else None
        self._unsent = merged(self._unsent, self._trainer.take_report())
        while True:
            try:
                return self._record(code, result)
            except DATABASE_AWAY as error:
                bear(error)
            if time.monotonic() > self._lease_ends_at:
                return Outcome.LOST
            time.sleep(NEWS_SECONDS)

    def _heartbeat_is_due(self) -> bool:
        seconds = self._settings.heartbeat_seconds
        if self._unsent is not None:
            seconds = min(seconds, NEWS_SECONDS)
        return time.monotonic() - self._tried_at >= seconds

    def _keep_lease(self) -> bool:
        """Heartbeat; while the database is away the lease is ours until it must have run out."""
        self._tried_at = time.monotonic()
        try:
            with self._sessions.begin() as session:
                status = self._heartbeat(session)
        except DATABASE_AWAY as error:
            bear(error)
            return time.monotonic() < self._lease_ends_at
        self._unsent = None
        self._lease_ends_at = self._tried_at + self._settings.lease_seconds
        self._cancelling = status is JobStatus.CANCELLING
        return status is not None

    def _heartbeat(self, session: Session) -> JobStatus | None:
        return leases.heartbeat(session, self._lease, self._settings.lease_seconds, self._unsent)

    def _enforce_timeout(self) -> None:
        if time.monotonic() > self._times_out_at:
            self._timed_out = True
            self._trainer.kill()

    def _pass_on_stop(self) -> None:
        """Ask the trainer to stop, once; kill it when it takes too long."""
        if self._kill_at is not None:
            if time.monotonic() > self._kill_at:
                self._trainer.kill()
        elif self._cancelling or self._draining():
            log.info("trainer.stopping", cancelling=self._cancelling)
            self._kill_at = time.monotonic() + self._settings.cancel_grace_seconds
            self._trainer.stop()

    def _result(self) -> AnyResult | Failure:
        try:
            return TypeAdapter[AnyResult](AnyResult).validate_json((self._folder / RESULT_FILE).read_bytes())
        except (FileNotFoundError, ValidationError) as error:
            return no_result(str(error), self._kind)

    def _record(self, code: int, result: AnyResult | Failure | None) -> Outcome:
        with self._sessions.begin() as session:
            status = self._heartbeat(session)
            if status is None:
                return Outcome.LOST
            if isinstance(result, AnyResult):
                return _outcome(self._succeed(session, result), Outcome.SUCCEEDED)
            if status is JobStatus.CANCELLING:
                return _outcome(leases.acknowledge_cancel(session, self._lease), Outcome.CANCELLED)
            if not self._timed_out and self._was_stopped(code):
                return _outcome(leases.release(session, self._lease), Outcome.RELEASED)
            if self._is_worth_another(code) and leases.retry(session, self._lease, "killed"):
                return Outcome.RELEASED
            failure = result or self._failure(code)
            log.warning("trainer.failed", code=failure.code, error=failure.message)
            return _outcome(leases.fail(session, self._lease, failure.code, failure.message), Outcome.FAILED)

    def _succeed(self, session: Session, result: AnyResult) -> bool:
        match result:
            case Output():
                return leases.deliver(session, self._lease, result) is not None
            case Tried():
                return leases.conclude(session, self._lease, result)
            case Result():
                return leases.succeed(session, self._lease, result) is not None

    def _is_worth_another(self, code: int) -> bool:
        """A prediction that was killed loses little: another attempt goes on after what is stored."""
        return self._kind is JobKind.PREDICT and code == -signal.SIGKILL and not self._timed_out

    def _was_stopped(self, code: int) -> bool:
        """It stopped as asked, or before it could hear, or it had to be killed."""
        return code == ExitCode.STOPPED or (self._kill_at is not None and code in (-signal.SIGTERM, -signal.SIGKILL))

    def _failure(self, code: int) -> Failure:
        if self._timed_out:
            return timeout_of(self._settings.job_timeout_seconds)
        return failure_of(code, self._trainer.last_lines(), self._kind)


def _outcome(written: bool, outcome: Outcome) -> Outcome:
    return outcome if written else Outcome.LOST


@contextmanager
def _run_folder(root: Path, lease: Lease) -> Iterator[Path]:
    """An empty folder that goes with the attempt, as do those that killed supervisors of this job left here."""
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob(f"{lease.job_id}-*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = root / f"{lease.job_id}-{lease.attempt}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
