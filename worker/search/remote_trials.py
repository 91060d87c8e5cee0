"""What a search leaves to other workers: its trials, each a job of its own (`app.services.trials`).

Where several processes train one job, the first writes and decides; the others hear of it, and read.
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
from worker.distributed import data_parallel
from worker.protocol.exit_codes import ExitCode
from worker.protocol.progress import StopRequested
from worker.supervision.failures import CODE_OF_EXIT
from worker.training.trials import Trial, TrialRunner, Weights

log = structlog.get_logger()

POLL_SECONDS = 1.0
TRIAL_FILE = "trial"
"""Of what a trial gave, beside its checkpoints."""
START_FILE = "start"
"""Of the weights that trials take over."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """One trial of a search: which, and for how many steps if not for as many as its parameters say.

    `place` is that of the candidate, in both rounds, so that a name stands for the same parameters whoever ranked them.
    """

    round: int
    position: int
    params: AlgorithmParams
    steps: int | None

    @property
    def name(self) -> str:
        return f"{self.round}-{self.position}-{self.params.algorithm}"


class TrialOwner(IntEnum):
    """Whose a trial is."""

    LOCAL = 0
    """Nobody else runs it, nor will."""
    REMOTE = 1
    """Another worker has begun it."""
    FINISHED = 2
    """Another worker ran it, and the search's `Trials` know what came of it."""


class TrialScheduler(Protocol):
    """How a search shares its trials with other workers."""

    def enqueue(self, orders: Sequence[PlannedTrial], start: Weights | None) -> None:
        """Let other workers run these, once each; `start` is what those get that start trained."""

    def claim(self, name: str, *, recall: bool = False) -> TrialOwner:
        """Claim a trial, unless another worker has; with `recall`, unless one trains it."""

    def wait(self, begin: float, width: float) -> None:
        """For a moment. The search is at `begin`, and a trial is worth `width` of its progress. Raises Stopped."""


class LocalOnly:
    """There are no other workers."""

    def enqueue(self, orders: Sequence[PlannedTrial], start: Weights | None) -> None:
        """They could not be told."""

    def claim(self, name: str, *, recall: bool = False) -> TrialOwner:
        return TrialOwner.LOCAL

    def wait(self, begin: float, width: float) -> None:
        """There is nobody to wait for."""


def queued_trials(context: AttemptContext, trials: TrialRunner) -> "QueuedTrials":
    """Return the scheduler that shares trials through the database and the broker."""
    search = SearchAttempt(context.job.id, context.attempt)
    return QueuedTrials(search, trials, context.sessions, lambda: CeleryQueue(make_celery(context.settings)))


class QueuedTrials:
    """Offers as jobs on the queue."""

    def __init__(
        self, search: SearchAttempt, trials: TrialRunner, sessions: sessionmaker[Session], make_queue: Callable[[], JobQueue]
    ) -> None:
        self._search, self._trials, self._sessions, self._make_queue = search, trials, sessions, make_queue
        self._start: str | None = None

    def enqueue(self, orders: Sequence[PlannedTrial], start: Weights | None) -> None:
        if not data_parallel.is_rank_zero():
            return
        told = [self._spec_of(order, start) for order in orders if not self._trials.is_finished(order.name)]
        self._send(self._transaction(lambda session: service.enqueue(session, self._search, told, self._trials.precision)))

    def claim(self, name: str, *, recall: bool = False) -> TrialOwner:
        standing = TrialOwner(
            int(*data_parallel.broadcast_from_rank_zero(self._owner_of(name, recall) if data_parallel.is_rank_zero() else 0))
        )
        if standing is not TrialOwner.REMOTE and not self._trials.is_finished(name):
            child = self._transaction(lambda session: service.get(session, self._search, name))
            if child is not None:
                self._take_over(child, standing)
        return standing

    def wait(self, begin: float, width: float) -> None:
        reporter = self._trials.reporter
        if data_parallel.is_rank_zero():
            reporter.update_progress(begin + width * self._transaction(lambda session: service.progress(session, self._search)))
            reporter.wait(POLL_SECONDS)
        if any(data_parallel.broadcast_from_rank_zero(reporter.should_stop)):
            raise StopRequested

    def _spec_of(self, order: PlannedTrial, start: Weights | None) -> TrialSpec:
        params = order.params.model_dump(mode="json")
        return TrialSpec(name=order.name, params=params, steps=order.steps, start=self._stored_start(order, start))

    def _stored_start(self, order: PlannedTrial, start: Weights | None) -> str | None:
        """Where the weights are that it takes over; stored once."""
        if start is None or not order.params.needs_trained_network:
            return None
        self._start = self._start or self._trials.checkpoints.put(START_FILE, start)
        return self._start

    def _send(self, job_ids: Sequence[UUID]) -> None:
        """While the broker is away the sweep sends them, and the search runs what nobody has heard of."""
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

        def taken(session: Session) -> JobRow | None:
            return service.take_back_queued(session, self._search, name) or service.get(session, self._search, name)

        child = self._transaction(taken)
        if child is None or child.status is JobStatus.CANCELLED:
            return TrialOwner.LOCAL
        if child.status is JobStatus.FAILED:  # what another worker had no memory for, or died of, may succeed here
            return TrialOwner.FINISHED if child.error_code == CODE_OF_EXIT[ExitCode.BAD_PARAMETERS] else TrialOwner.LOCAL
        return TrialOwner.FINISHED if child.status is JobStatus.SUCCEEDED else TrialOwner.REMOTE

    def _take_over(self, child: JobRow, standing: TrialOwner) -> None:
        """What another worker has done of a trial: all of it, or what its last checkpoint holds."""
        name = str(child.trial)
        if standing is TrialOwner.LOCAL:
            if child.checkpoint is None or self._trials.is_interrupted(name):
                return
            self._trials.resume_foreign(child.checkpoint)
        elif child.status is JobStatus.SUCCEEDED:
            stored = self._trials.checkpoints.read(storage_keys.attempt_file(child.id, child.attempt, f"{TRIAL_FILE}.pt"))
            self._trials.ended[name] = Trial(**stored)
        else:
            self._trials.failed[name] = child.error_message or ""
        points = self._transaction(lambda session: service.metric_history(session, child))
        self._trials.reporter.merge(points, [JobWarning(**warning) for warning in child.warnings])

    def _transaction(self, question: Callable[[Session], Value]) -> Value:
        """One transaction, again while the database is away: for how long, the supervisor decides."""
        while True:
            try:
                with self._sessions.begin() as session:
                    return question(session)
            except OUTAGE_ERRORS as error:
                tolerate_outage(error)
            time.sleep(POLL_SECONDS)
