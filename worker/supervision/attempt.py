"""One attempt at a job under one lease: heartbeat, stop, time limit and end."""

import signal
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import structlog
from pydantic import ValidationError
from sqlalchemy.orm import Session, sessionmaker

from app.db.outages import OUTAGE_ERRORS, tolerate_outage
from app.job_state import JobStatus
from app.job_types.base import JobResult, JobType
from app.schemas.trainer_messages import RESULT_FILE, Report
from app.services import job_logs, leases
from app.services.leases import Lease
from app.settings import Settings
from worker.protocol.exit_codes import ExitCode
from worker.supervision.failures import Failure, classify_exit, no_result, timeout_of
from worker.supervision.trainer_process import TrainerProcess, merged

log = structlog.get_logger()

TICK_SECONDS = 0.25


REPORT_SECONDS = 1.0  # reports of a trainer are stored after this time, so that progress moves


class Outcome(StrEnum):
    """The end of an attempt for its supervisor; the log event is `job.{outcome}`."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RELEASED = "released"
    POSTPONED = "postponed"
    LOST = "lost"


class Attempt:
    """One run of one trainer under one lease."""

    def __init__(
        self,
        lease: Lease,
        job_type: JobType[Any],
        trainer: TrainerProcess,
        sessions: sessionmaker[Session],
        settings: Settings,
        draining: Callable[[], bool],
    ) -> None:
        self._lease = lease
        self._job_type = job_type
        self._trainer = trainer
        self._sessions = sessions
        self._settings = settings
        self._draining = draining
        now = time.monotonic()
        self._times_out_at = now + settings.job_timeout_seconds
        self._lease_ends_at = now + settings.lease_seconds
        self._heartbeat_at = now
        self._kill_at: float | None = None
        self._timed_out = False
        self._cancelling = False
        self._pending_report: Report | None = None
        self._stored_lines = 0

    def supervise(self) -> bool:
        """Wait for the end of the trainer; return False when the lease was lost and nothing may be written."""
        while self._trainer.is_running():
            self._trainer.wait(TICK_SECONDS)
            self._pending_report = merged(self._pending_report, self._trainer.drain_reports())
            if self._heartbeat_is_due() and not self._keep_lease():
                return False
            self._enforce_timeout()
            self._forward_stop()
        return True

    def record_end(self) -> Outcome:
        """Record the end of the trainer with its last reports in one transaction; retry during outages."""
        code = self._trainer.exit_code()
        log.info("trainer.ended", exit_code=code)
        result = self._result() if code == ExitCode.DONE else None
        self._pending_report = merged(self._pending_report, self._trainer.drain_reports())
        while True:
            try:
                return self._record(code, result)
            except OUTAGE_ERRORS as error:
                tolerate_outage(error)
            if time.monotonic() > self._lease_ends_at:
                return Outcome.LOST
            time.sleep(REPORT_SECONDS)

    def _heartbeat_is_due(self) -> bool:
        seconds = self._settings.heartbeat_seconds
        if self._pending_report is not None:
            seconds = min(seconds, REPORT_SECONDS)
        return time.monotonic() - self._heartbeat_at >= seconds

    def _keep_lease(self) -> bool:
        """Send a heartbeat; during an outage the lease stays valid until it must have expired."""
        self._heartbeat_at = time.monotonic()
        lines, log_tail = self._trainer.log()
        try:
            with self._sessions.begin() as session:
                status = self._heartbeat(session)
                if status is not None and lines != self._stored_lines:
                    job_logs.store(session, self._lease.job_id, self._lease.attempt, log_tail)
        except OUTAGE_ERRORS as error:
            tolerate_outage(error)
            return time.monotonic() < self._lease_ends_at
        self._pending_report, self._stored_lines = None, lines
        self._lease_ends_at = self._heartbeat_at + self._settings.lease_seconds
        self._cancelling = status is JobStatus.CANCELLING
        return status is not None

    def _heartbeat(self, session: Session) -> JobStatus | None:
        return leases.heartbeat(session, self._lease, self._settings.lease_seconds, self._pending_report)

    def _enforce_timeout(self) -> None:
        if time.monotonic() > self._times_out_at:
            self._timed_out = True
            self._trainer.kill()

    def _forward_stop(self) -> None:
        """Ask the trainer to stop, once; kill it after the grace period."""
        if self._kill_at is not None:
            if time.monotonic() > self._kill_at:
                self._trainer.kill()
        elif self._cancelling or self._draining():
            log.info("trainer.stopping", cancelling=self._cancelling)
            self._kill_at = time.monotonic() + self._settings.cancel_grace_seconds
            self._trainer.stop()

    def _result(self) -> JobResult | Failure:
        try:
            result: JobResult = self._job_type.result.model_validate_json((self._trainer.folder / RESULT_FILE).read_bytes())
            return result
        except (FileNotFoundError, ValidationError) as error:
            return no_result(str(error), self._job_type)

    def _record(self, code: int, result: JobResult | Failure | None) -> Outcome:
        with self._sessions.begin() as session:
            status = self._heartbeat(session)
            if status is None:
                return Outcome.LOST
            job_logs.store(session, self._lease.job_id, self._lease.attempt, self._trainer.log()[1])
            if isinstance(result, JobResult):
                return _or_lost(leases.finish(session, self._lease, result) is not None, Outcome.SUCCEEDED)
            if status is JobStatus.CANCELLING:
                return _or_lost(leases.acknowledge_cancel(session, self._lease), Outcome.CANCELLED)
            if not self._timed_out and self._stopped_on_request(code):
                return _or_lost(leases.release(session, self._lease), Outcome.RELEASED)
            if code == ExitCode.UNAVAILABLE:
                log.warning("trainer.unavailable", error=self._trainer.stderr_tail()[-1:])
                return _or_lost(self._postpone(session), Outcome.POSTPONED)
            if self._should_retry(session, code) and leases.retry(session, self._lease, leases.KILLED):
                return Outcome.RELEASED
            failure = result or self._failure(code)
            log.warning("trainer.failed", code=failure.code, error=failure.message, stderr=self._trainer.stderr_tail())
            return _or_lost(leases.fail(session, self._lease, failure.code, failure.message), Outcome.FAILED)

    def _postpone(self, session: Session) -> bool:
        """Requeue the job, which needs an unreachable or full storage or database, for later."""
        return leases.release(session, self._lease, "storage_unavailable", self._settings.lease_seconds)

    def _should_retry(self, session: Session, code: int) -> bool:
        """Return whether a trainer that something else killed gets another attempt; for most kinds of jobs, once."""
        if code != -signal.SIGKILL or self._timed_out:
            return False
        return self._job_type.retries_after_kill or not leases.was_killed_before(session, self._lease)

    def _stopped_on_request(self, code: int) -> bool:
        """Return whether the trainer stopped as requested, died before it could, or was killed for it."""
        return code == ExitCode.STOPPED or (self._kill_at is not None and code in (-signal.SIGTERM, -signal.SIGKILL))

    def _failure(self, code: int) -> Failure:
        if self._timed_out:
            return timeout_of(self._settings.job_timeout_seconds)
        return classify_exit(code, self._trainer.stderr_tail(), self._job_type)


def _or_lost(written: bool, outcome: Outcome) -> Outcome:
    return outcome if written else Outcome.LOST
