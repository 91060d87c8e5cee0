"""Trials of a search on other workers, each a job of its own (`app.services.trials`).

Where several processes train one job, rank zero writes and decides; the others receive its decision and read.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, TypeVar
from uuid import UUID

import structlog
from sqlalchemy.orm import Session, sessionmaker

from app import storage_keys
from app.algorithms.base import AlgorithmParams
from app.broker.queue import CeleryQueue, JobQueue, make_celery
from app.db.outages import OUTAGE_ERRORS, tolerate_outage
from app.db.tables import JobRow
from app.errors import ServiceUnavailable
from app.job_state import JobStatus
from app.schemas.trainer_messages import JobWarning
from app.schemas.trials import TrialSpec
from app.services import trials as service
from app.services.trials import SearchAttempt
from worker.data.attempt_context import AttemptContext
from worker.protocol.exit_codes import ExitCode
from worker.protocol.progress import StopRequested
from worker.protocol.progress_span import ProgressSpan
from worker.supervision.failures import CODE_OF_EXIT
from worker.training.trials import Trial, TrialRunner, Weights

log = structlog.get_logger()

POLL_SECONDS = 1.0
TRIAL_FILE = "trial"
"""The name of the file with a trial's result, beside its checkpoints."""
START_FILE = "start"
"""The name of the file with the weights of the baseline."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """One trial of a search. `steps` None: as many as its parameters give.

    `position` is that of the candidate, in both rounds, so a name always stands for the same parameters.
    """

    round: int
    position: int
    params: AlgorithmParams
    steps: int | None

    @property
    def name(self) -> str:
        """The name of the trial's job, checkpoints and curves."""
        return f"{self.round}-{self.position}-{self.params.algorithm}"


class TrialOwner(IntEnum):
    """The worker that a trial belongs to."""

    LOCAL = 0
    """This one: no other worker runs the trial, or will."""
    REMOTE = 1
    """Another worker, which has begun it."""
    FINISHED = 2
    """Another worker, which has ended it; its result is in the search's `TrialRunner`."""


class TrialScheduler(Protocol):
    """A way of sharing a search's trials with other workers."""

    def enqueue(self, planned: Sequence[PlannedTrial], start: Weights | None) -> None:
        """Let other workers run these trials, once each; `start` are the weights for methods that need a trained network."""

    def claim(self, name: str, *, recall: bool = False) -> TrialOwner:
        """Claim a trial, unless another worker has begun it; with `recall`, unless one trains it."""

    def wait(self, span: ProgressSpan) -> None:
        """Wait for a moment; `span` is the progress of the next trial. Raise StopRequested."""


class LocalOnly:
    """The scheduler without other workers."""

    def enqueue(self, planned: Sequence[PlannedTrial], start: Weights | None) -> None:
        """Do nothing."""

    def claim(self, name: str, *, recall: bool = False) -> TrialOwner:
        """Return that every trial is local."""
        return TrialOwner.LOCAL

    def wait(self, span: ProgressSpan) -> None:
        """Return at once."""


def queued_trials(context: AttemptContext, trials: TrialRunner) -> "QueuedTrials":
    """Return the scheduler that shares trials through the database and the broker."""
    search = SearchAttempt(context.job.id, context.attempt)
    return QueuedTrials(search, trials, context.sessions, lambda: CeleryQueue(make_celery(context.settings)))


class QueuedTrials:
    """The scheduler that makes each trial a job on the queue."""

    def __init__(
        self, search: SearchAttempt, trials: TrialRunner, sessions: sessionmaker[Session], make_queue: Callable[[], JobQueue]
    ) -> None:
        self._search, self._trials, self._sessions, self._make_queue = search, trials, sessions, make_queue
        self._distributed = trials.runtime.distributed
        self._start: str | None = None

    def enqueue(self, planned: Sequence[PlannedTrial], start: Weights | None) -> None:
        """Queue the trials that have not ended."""
        if not self._distributed.is_rank_zero:
            return
        specs = [self._spec_of(one, start) for one in planned if not self._trials.is_finished(one.name)]
        self._send(self._transaction(lambda session: service.enqueue(session, self._search, specs, self._trials.precision)))

    def claim(self, name: str, *, recall: bool = False) -> TrialOwner:
        """Claim a trial, and take over the work of another worker on it."""
        decision = self._owner_of(name, recall) if self._distributed.is_rank_zero else 0
        owner = TrialOwner(int(*self._distributed.broadcast_from_rank_zero(decision)))
        if owner is not TrialOwner.REMOTE and not self._trials.is_finished(name):
            child = self._transaction(lambda session: service.get(session, self._search, name))
            if child is not None:
                self._take_over(child, owner)
        return owner

    def wait(self, span: ProgressSpan) -> None:
        """Wait for other workers and report their progress."""
        reporter = self._trials.runtime.reporter
        if self._distributed.is_rank_zero:
            reporter.update_progress(span.at(self._transaction(lambda session: service.progress(session, self._search))))
            reporter.wait(POLL_SECONDS)
        if any(self._distributed.broadcast_from_rank_zero(reporter.should_stop)):
            raise StopRequested

    def _spec_of(self, planned: PlannedTrial, start: Weights | None) -> TrialSpec:
        params = planned.params.model_dump(mode="json")
        return TrialSpec(name=planned.name, params=params, steps=planned.steps, start=self._stored_start(planned, start))

    def _stored_start(self, planned: PlannedTrial, start: Weights | None) -> str | None:
        """Return the key of the weights that the trial starts from; store them once."""
        if start is None or not planned.params.needs_trained_network:
            return None
        self._start = self._start or self._trials.runtime.checkpoints.put(START_FILE, start)
        return self._start

    def _send(self, job_ids: Sequence[UUID]) -> None:
        """Send the jobs to the broker; while it is unreachable the sweep sends them, and the search runs the rest itself."""
        if not job_ids:
            return
        try:
            queue = self._make_queue()
            for job_id in job_ids:
                queue.send(job_id)
        except ServiceUnavailable:
            log.warning("trials.not_sent")

    def _owner_of(self, name: str, recall: bool) -> TrialOwner:
        if recall and self._transaction(lambda session: service.take_back_starting(session, self._search, name)):
            return TrialOwner.LOCAL

        def take_back_or_get(session: Session) -> JobRow | None:
            return service.take_back_queued(session, self._search, name) or service.get(session, self._search, name)

        child = self._transaction(take_back_or_get)
        if child is None or child.status is JobStatus.CANCELLED:
            return TrialOwner.LOCAL
        if child.status is JobStatus.FAILED:  # another worker's lack of memory, or its death, need not repeat here
            return TrialOwner.FINISHED if child.error_code == CODE_OF_EXIT[ExitCode.BAD_PARAMETERS] else TrialOwner.LOCAL
        return TrialOwner.FINISHED if child.status is JobStatus.SUCCEEDED else TrialOwner.REMOTE

    def _take_over(self, child: JobRow, owner: TrialOwner) -> None:
        """Adopt the result of another worker's trial, its error, or its last checkpoint."""
        name = str(child.trial)
        if owner is TrialOwner.LOCAL:
            if child.checkpoint is None or self._trials.is_interrupted(name):
                return
            self._trials.resume_foreign(child.checkpoint)
        elif child.status is JobStatus.SUCCEEDED:
            stored = self._trials.runtime.checkpoints.read(storage_keys.attempt_file(child.id, child.attempt, f"{TRIAL_FILE}.pt"))
            self._trials.ended[name] = Trial(**stored)
        else:
            self._trials.failed[name] = child.error_message or ""
        points = self._transaction(lambda session: service.metric_history(session, child))
        self._trials.runtime.reporter.merge(points, [JobWarning(**warning) for warning in child.warnings])

    def _transaction(self, query: Callable[[Session], Value]) -> Value:
        """Run the query in one transaction; repeat it during an outage, which the supervisor limits."""
        while True:
            try:
                with self._sessions.begin() as session:
                    return query(session)
            except OUTAGE_ERRORS as error:
                tolerate_outage(error)
            time.sleep(POLL_SECONDS)
