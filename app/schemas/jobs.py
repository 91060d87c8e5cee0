"""Requests and responses of jobs."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from app.algorithms import AnyParams
from app.db.tables import JobRow
from app.job_state import JobStatus
from app.model_reference import NAME
from app.networks import AnyNetwork
from app.schemas.trainer_messages import JobWarning

ModelName = Annotated[str, Field(pattern=f"^{NAME}$", description="Letters, digits, `.`, `_` and `-`.", examples=["digits"])]


class ModelBase(BaseModel):
    """A start from a version of a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(
        min_length=1, max_length=250, description="`digits`, `digits:3` or `digits@production`, as it is when the job is posted."
    )


class PretrainedBase(BaseModel):
    """A start from a pretrained encoder; short for the network that loads such encoders, with its default options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pretrained: str = Field(
        min_length=1, max_length=500, pattern=r"^[^\x00]*$", description="Hub id or local directory, seen from the worker."
    )


_KINDS = {"network": "a network", "model": "a model", "pretrained": "a pretrained encoder"}
"""Keys and tags are different words, so that a pointer to a bad value can leave the tags out."""


def _kind_of_base(value: Any) -> str | None:
    keys = value if isinstance(value, dict) else type(value).model_fields if isinstance(value, BaseModel) else ()
    return next((kind for key, kind in _KINDS.items() if key in keys), None)


AnyBase = Annotated[
    Annotated[AnyNetwork, Tag("a network")]
    | Annotated[ModelBase, Tag("a model")]
    | Annotated[PretrainedBase, Tag("a pretrained encoder")],
    Discriminator(
        _kind_of_base,
        custom_error_type="base",
        custom_error_message="Name what the job starts from: one of `network`, `model` and `pretrained`",
    ),
]


class JobCreate(BaseModel):
    """One adaptation: datasets, start and parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: ModelName
    source: UUID | None = Field(
        None,
        description="Labelled dataset that is learned from. Algorithms whose `needs_source` is false can do without one when "
        "`base` is a version of a model.",
    )
    target: UUID | None = Field(None, description="Dataset of the domain that the model is for; its labels are not read.")
    evaluation: UUID | None = Field(None, description="Labelled target data that is only used to report the true accuracy.")
    base: AnyBase | None = Field(None, description="What the job starts from. Default: the usual network of the modality.")
    params: AnyParams = Field(description="`GET /algorithms` lists the algorithms and their parameters.")


class JobError(BaseModel):
    """The reason why a job failed. The code is stable."""

    code: str
    message: str


class VersionReference(BaseModel):
    """The version that a job produced."""

    model: str
    number: int


class TrialReference(BaseModel):
    """A trial of a search that was shared with other workers. Its id is the `job_id` in their logs."""

    id: UUID
    name: str = Field(description="Round, place and algorithm; the trial's metrics begin with it.", examples=["1-0-mcc"])
    status: JobStatus = Field(description="`cancelled` also where the search took the trial back, to run it on its own worker.")


class JobOut(BaseModel):
    """One job."""

    id: UUID
    model: str
    source: UUID | None
    target: UUID | None
    evaluation: UUID | None
    base: dict[str, Any] = Field(description="What the job starts from, with every option and the version's number.")
    params: dict[str, Any] = Field(description="The algorithm's parameters with the defaults filled in.")
    status: JobStatus
    progress: float = Field(ge=0, le=1, description="Of the present attempt.")
    eta_seconds: float | None = Field(description="Estimated when the job last changed; null while nothing is known.")
    attempt: int = Field(description="Grows each time that a worker starts the job.")
    max_attempts: int
    metrics: dict[str, Any] = Field(description="The newest value of each metric.")
    warnings: list[JobWarning]
    error: JobError | None
    version: VersionReference | None
    trials: list[TrialReference] = Field(
        description="Of a search, those that were offered to other workers; what it took back to train it itself is `cancelled`."
    )
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = Field(description="Start of the present attempt.")
    finished_at: datetime | None

    @classmethod
    def of(cls, row: JobRow) -> "JobOut":
        """Build the response for a row."""
        same = {name: getattr(row, name) for name in cls.model_fields if name in row.__mapper__.column_attrs}
        return cls(
            **same,
            model=row.model_name,
            source=row.source_id,
            target=row.target_id,
            evaluation=row.evaluation_id,
            eta_seconds=eta_seconds(row),
            error=JobError(code=row.error_code, message=row.error_message or "") if row.error_code else None,
            version=VersionReference(model=row.model_name, number=row.version.number) if row.version else None,
            trials=[TrialReference(id=child.id, name=child.trial or "", status=child.status) for child in row.trials],
        )


def eta_seconds(row: JobRow) -> float | None:
    """Estimate the remaining time at the speed of this attempt, which began at `first_progress`."""
    if row.status != JobStatus.RUNNING or row.started_at is None or row.first_progress is None:
        return None
    done = row.progress - row.first_progress
    elapsed = (row.updated_at - row.started_at).total_seconds()
    return round(elapsed * (1 - row.progress) / done, 1) if done > 0 else None
