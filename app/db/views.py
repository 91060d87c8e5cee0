"""Results of queries that are not rows of one table."""

from dataclasses import dataclass
from typing import Literal, get_args
from uuid import UUID

from app.db.tables import ModelRow, VersionRow
from app.db.worker_tables import WorkerRow

State = Literal["idle", "busy", "lost"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True, slots=True)
class ModelOverview:
    """A model with its newest version and the number of its versions. Its first version creates a model."""

    model: ModelRow
    newest: VersionRow
    count: int


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker: whether its heartbeats have stopped, whether it runs a job, and which one if the caller may see it."""

    worker: WorkerRow
    is_lost: bool
    is_busy: bool
    job_id: UUID | None

    @property
    def state(self) -> State:
        """The state of the worker."""
        if self.is_lost:
            return "lost"
        return "busy" if self.is_busy else "idle"
