"""The description of one kind of job, and the result that its trainer hands over."""

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session

from app.db.tables import JobRow
from app.errors import JobNotFound, ServiceError


class JobResult(BaseModel):
    """The result file of a trainer; `metrics` are added to those of the job."""

    model_config = ConfigDict(extra="forbid")

    metrics: dict[str, Any]


Result = TypeVar("Result", bound=JobResult)


class JobType(ABC, Generic[Result]):
    """One kind of job. Its module's name is its name in the database, and the name of its code in `worker.jobs`.

    A subclass sets what differs from the defaults. Its only instance is a constant of its module.
    """

    result: type[Result]
    """Schema of the trainer's result file."""
    noun = "job"
    """What messages call a job of this kind."""
    not_found: type[ServiceError] = JobNotFound
    process = "trainer"
    """The process that runs the job, in messages and as the prefix of its error codes."""
    memory_advice = (
        "Reduce its memory: a smaller batch, smaller images, shorter texts or a narrower network. "
        "Or let this machine run fewer jobs at once."
    )
    """Advice for a job whose process was killed, probably because the machine ran out of memory."""
    routes_help = ""
    """Description of this kind's routes in the OpenAPI document; empty for a kind without routes."""
    metric_help = "Jobs by state."
    """Description of the Prometheus family that counts jobs of this kind."""
    may_use_several_processes = False
    """Whether the job runs in as many processes as the settings allow."""
    retries_after_kill = False
    """Whether a killed process is always followed by another attempt, not only once. Set it where attempts lose little."""

    @property
    def name(self) -> str:
        """The kind, as the database stores it."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def tag(self) -> str:
        """The OpenAPI tag of this kind's routes."""
        return f"{self.noun}s"

    @property
    def metric_name(self) -> str:
        """The name of the Prometheus family that counts jobs of this kind."""
        return f"isthmus_{self.name}s"

    @property
    def path(self) -> str:
        """The path of its resource in the HTTP API."""
        return f"/{self.noun.replace(' ', '-')}s"

    @abstractmethod
    def finish(self, session: Session, job: JobRow, result: Result) -> None:
        """Write the rows that the result adds, in the transaction that sets the job's status. Never commit."""
