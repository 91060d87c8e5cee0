"""What a search leaves to other workers: its trials, each a job of its own (`app.services.trials`).

Where several processes train one job, the first writes and decides; the others hear of it, and read.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, TypeVar
from uuid import UUID

import structlog
from sqlalchemy.orm import Session, sessionmaker

from app.algorithms.base import AlgorithmParams
from app.broker.queue import CeleryQueue, JobQueue, make_celery
from app.db.outages import DATABASE_AWAY, bear
from app.db.session import make_engine, make_sessions
from app.db.tables import JobRow
from app.errors import ServiceUnavailable
from app.job_state import JobStatus
from app.schemas.trainer_messages import Warn
from app.schemas.trials import TrialOrder
from app.services import trials as service
from app.services.trials import SearchAttempt
from app.settings import Settings
from worker.distributed import data_parallel as together
from worker.protocol.exit_codes import ExitCode
from worker.protocol.progress import Stopped
from worker.supervision.failures import SAID_LAST
from worker.training.trials import Trial, Trials, Weights

log = structlog.get_logger()

LOOK_SECONDS = 1.0
TRIAL_FILE = "trial"
"""Of what a trial gave, beside its checkpoints."""
START_FILE = "start"
"""Of the weights that trials take over."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Order:
    """One trial of a search: which, and for how many steps if not for as many as its parameters say.

    `place` is that of the candidate, in both rounds, so that a name stands for the same parameters whoever ranked them.
    """

    round: int
    place: int
    params: AlgorithmParams
    steps: int | None

    @property
    def name(self) -> str:
        return f"{self.round}-{self.place}-{self.params.algorithm}"


class Standing(IntEnum):
    """Whose a trial is."""

    OURS = 0
    """Nobody else runs it, nor will."""
    THEIRS = 1
    """Another worker has begun it."""
    ENDED = 2
    """Another worker ran it, and the search's `Trials` know what came of it."""


class Offers(Protocol):
    """How a search shares its trials with other workers."""

    def offer(self, orders: Sequence[Order], start: Weights | None) -> None:
        """Let other workers run these, once each; `start` is what those get that start trained."""

    def take(self, name: str, *, recall: bool = False) -> Standing:
        """Claim a trial, unless another worker has; with `recall`, unless one trains it."""

    def wait(self, begin: float, width: float) -> None:
        """For a moment. The search is at `begin`, and a trial is worth `width` of its progress. Raises Stopped."""


class Nobody:
    """There are no other workers."""

    def offer(self, orders: Sequence[Order], start: Weights | None) -> None:
        """They could not be told."""

    def take(self, name: str, *, recall: bool = False) -> Standing:
        return Standing.OURS

    def wait(self, begin: float, width: float) -> None:
        """There is nobody to wait for."""


@contextmanager
def offers_of(search: SearchAttempt, trials: Trials, settings: Settings) -> Iterator[Offers]:
    """Through the database and the broker, while the block runs."""
    engine = make_engine(settings.database)
    try:
        yield OnQueue(search, trials, make_sessions(engine), lambda: CeleryQueue(make_celery(settings)))
    finally:
        engine.dispose()


class OnQueue:
    """Offers as jobs on the queue."""

    def __init__(
        self, search: SearchAttempt, trials: Trials, sessions: sessionmaker[Session], make_queue: Callable[[], JobQueue]
    ) -> None:
        self._search, self._trials, self._sessions, self._make_queue = search, trials, sessions, make_queue
        self._start: str | None = None

    def offer(self, orders: Sequence[Order], start: Weights | None) -> None:
        if not together.leads():
            return
        told = [self._told(order, start) for order in orders if not self._trials.knows(order.name)]
        self._send(self._ask(lambda session: service.offer(session, self._search, told)))

    def take(self, name: str, *, recall: bool = False) -> Standing:
        standing = Standing(int(*together.leaders(self._standing(name, recall) if together.leads() else 0)))
        if standing is not Standing.THEIRS and not self._trials.knows(name):
            child = self._ask(lambda session: service.get(session, self._search, name))
            if child is not None:
                self._take_over(child, standing)
        return standing

    def wait(self, begin: float, width: float) -> None:
        reporter = self._trials.reporter
        if together.leads():
            reporter.moved(begin + width * self._ask(lambda session: service.progress(session, self._search)))
            reporter.wait(LOOK_SECONDS)
        if any(together.leaders(reporter.should_stop)):
            raise Stopped

    def _told(self, order: Order, start: Weights | None) -> TrialOrder:
        params = order.params.model_dump(mode="json")
        return TrialOrder(name=order.name, params=params, steps=order.steps, start=self._start_of(order, start))

    def _start_of(self, order: Order, start: Weights | None) -> str | None:
        """Where the weights are that it takes over; stored once."""
        if start is None or not order.params.starts_trained:
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

    def _standing(self, name: str, recall: bool) -> Standing:
        if recall and self._ask(lambda session: service.recall(session, self._search, name)):
            return Standing.OURS

        def taken(session: Session) -> JobRow | None:
            return service.withdraw(session, self._search, name) or service.get(session, self._search, name)

        child = self._ask(taken)
        if child is None or child.status is JobStatus.CANCELLED:
            return Standing.OURS
        if child.status is JobStatus.FAILED:  # what another worker had no memory for, or died of, may succeed here
            return Standing.ENDED if child.error_code == SAID_LAST[ExitCode.BAD_PARAMETERS] else Standing.OURS
        return Standing.ENDED if child.status is JobStatus.SUCCEEDED else Standing.THEIRS

    def _take_over(self, child: JobRow, standing: Standing) -> None:
        """What another worker has done of a trial: all of it, or what its last checkpoint holds."""
        name = str(child.trial)
        if standing is Standing.OURS:
            if child.checkpoint is None or self._trials.is_interrupted(name):
                return
            self._trials.adopt(child.checkpoint)
        elif child.status is JobStatus.SUCCEEDED:
            stored = self._trials.checkpoints.read(f"jobs/{child.id}/{child.attempt}/{TRIAL_FILE}.pt")
            self._trials.ended[name] = Trial(**stored)
        else:
            self._trials.failed[name] = child.error_message or ""
        points = self._ask(lambda session: service.curves(session, child))
        self._trials.reporter.pass_on(points, [Warn(**warning) for warning in child.warnings])

    def _ask(self, question: Callable[[Session], Value]) -> Value:
        """One transaction, again while the database is away: for how long, the supervisor decides."""
        while True:
            try:
                with self._sessions.begin() as session:
                    return question(session)
            except DATABASE_AWAY as error:
                bear(error)
            time.sleep(LOOK_SECONDS)
