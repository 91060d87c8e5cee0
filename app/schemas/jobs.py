"""Requests and responses of jobs."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from app.algorithms import AnyParams
from app.algorithms.auto import AutoParams
from app.db.tables import JobRow
from app.encoders.catalogue import Speed
from app.job_state import JobStatus
from app.model_reference import NAME
from app.networks import AnyNetwork
from app.schemas.data_warnings import DataWarningOut
from app.schemas.labels import Label
from app.schemas.trainer_messages import JobWarning

ModelName = Annotated[str, Field(pattern=f"^{NAME}$", description="Letters, digits, `.`, `_` and `-`.", examples=["digits"])]


DatasetReference = Annotated[
    UUID | Label, Field(union_mode="left_to_right", description="Id or name of a dataset; of several with the name the newest.")
]


MAX_SOURCES = 20


def _kind_of_source(value: Any) -> str:
    return "several" if isinstance(value, list | tuple) else "one"


Sources = Annotated[
    Annotated[DatasetReference, Tag("one")]
    | Annotated[tuple[DatasetReference, ...], Field(min_length=1, max_length=MAX_SOURCES), Tag("several")],
    Discriminator(_kind_of_source),
]


class ModelBase(BaseModel):
    """A start from a version of a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(
        min_length=1,
        max_length=250,
        description="`digits`, `digits:3` or `digits@production`, resolved when the job is submitted.",
    )


class PretrainedBase(BaseModel):
    """A start from a pretrained encoder; short for the network that loads such encoders.

    `auto` and the ids of `GET /encoders`, also of uploads, are frozen: they keep their weights. Others are trained further.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pretrained: str = Field(
        min_length=1,
        max_length=500,
        pattern=r"^[^\x00]*$",
        description="`auto`, an id of `GET /encoders`, or a Hub id or directory on the worker that the service allows.",
    )
    speed: Speed = Field("fast", description="With `auto`: the slowest class of encoders that the job may use.")


_KINDS = {"network": "a network", "model": "a model", "pretrained": "a pretrained encoder"}
"""Tag of each key. They differ, so that pointers to invalid values can omit the tags."""


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
        custom_error_message="Give exactly one of `network`, `model` and `pretrained`",
    ),
]


class JobCreate(BaseModel):
    """One adaptation: datasets, start and parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: ModelName
    source: Sources | None = Field(
        None,
        description="Labelled dataset to learn from, or a list of several from different domains. It is optional for "
        "algorithms with `needs_source: false` if `base` is a version of a model.",
    )
    target: DatasetReference | None = Field(None, description="Dataset of the domain to adapt to. Labels are ignored.")
    evaluation: DatasetReference | None = Field(None, description="Labelled target data, used only to report the true accuracy.")
    base: AnyBase | None = Field(
        None,
        description="What the job starts from. Default: an installed frozen encoder for images larger than 48 pixels, the "
        "default network of the modality for other data.",
    )
    params: AnyParams = Field(
        default_factory=AutoParams,
        description="`GET /algorithms` lists the algorithms and their parameters. Default: `auto`.",
    )

    @property
    def sources(self) -> dict[str, UUID | str]:
        """Return the sources by their pointers."""
        if isinstance(self.source, tuple):
            return {f"/source/{position}": reference for position, reference in enumerate(self.source)}
        return {} if self.source is None else {"/source": self.source}


Phase = Annotated[
    str | None,
    Field(
        description="What happens now: `queued`, `starting`, `reading`, `source-only`, `training`, `trial 2 of 3`, "
        "`evaluating`, `exporting`, `storing`, `predicting`; null once it has ended."
    ),
]
Position = Annotated[int | None, Field(description="Number in the queue of the project, from 1; null unless it waits.")]


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
    name: str = Field(description="Round, index and algorithm. It is the prefix of the trial's metrics.", examples=["1-0-mcc"])
    status: JobStatus = Field(description="Also `cancelled` if the search took the trial back to run it itself.")


class JobOut(BaseModel):
    """A job."""

    id: UUID
    model: str
    source: UUID | None = Field(description="The first source.")
    sources: list[UUID] = Field(description="All sources, in the order of the request.")
    target: UUID | None
    evaluation: UUID | None
    base: dict[str, Any] = Field(description="What the job starts from, with all options and the version's number.")
    params: dict[str, Any] = Field(description="The algorithm's parameters, including defaults.")
    status: JobStatus
    phase: Phase
    position: Position
    progress: float = Field(ge=0, le=1, description="Progress of the current attempt.")
    eta_seconds: float | None = Field(description="Estimate at the last change; null while unknown.")
    attempt: int = Field(description="Number of times a worker has started the job.")
    max_attempts: int = Field(
        description="Grows with every lost attempt that stored a checkpoint, so only attempts without progress count."
    )
    metrics: dict[str, Any] = Field(description="The newest value of each metric.")
    warnings: list[JobWarning]
    error: JobError | None
    version: VersionReference | None
    trials: list[TrialReference] = Field(
        description="Trials of a search that were queued for other workers. `cancelled` ones run on the search's own worker."
    )
    description: str
    tags: list[str]
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = Field(description="Start of the current attempt.")
    finished_at: datetime | None

    @classmethod
    def of(cls, row: JobRow) -> "JobOut":
        """Build the response for a row."""
        columns = {name: getattr(row, name) for name in cls.model_fields if name in row.__mapper__.column_attrs}
        return cls(
            **columns,
            model=row.model_name,
            source=row.source_id,
            sources=row.source_ids,
            target=row.target_id,
            evaluation=row.evaluation_id,
            phase=row.phase,
            eta_seconds=eta_seconds(row),
            error=JobError(code=row.error_code, message=row.error_message or "") if row.error_code else None,
            version=VersionReference(model=row.model_name, number=row.version.number) if row.version else None,
            trials=[TrialReference(id=child.id, name=child.trial or "", status=child.status) for child in row.trials],
        )


class JobLog(BaseModel):
    """The log of the newest attempt that wrote one; 0 and empty before the first."""

    attempt: int
    lines: list[str] = Field(description="At most 200 lines, each with its time in UTC.")


class JobProblem(BaseModel):
    """A reason why a job cannot be submitted."""

    model_config = ConfigDict(from_attributes=True)

    pointer: str = Field(description="JSON pointer to the part of the request.")
    detail: str = Field(description="What is wrong and what to do.")


class JobCheckOut(BaseModel):
    """The result of a check. A job that is not accepted would be rejected with the same errors."""

    model_config = ConfigDict(from_attributes=True)

    accepted: bool
    errors: list[JobProblem]
    warnings: list[DataWarningOut] = Field(description="Differences between source, target and evaluation.")


def eta_seconds(row: JobRow) -> float | None:
    """Estimate the remaining time at the speed of this attempt, which began at `first_progress`."""
    if row.status != JobStatus.RUNNING or row.started_at is None or row.first_progress is None:
        return None
    progress = row.progress - row.first_progress
    elapsed = (row.updated_at - row.started_at).total_seconds()
    return round(elapsed * (1 - row.progress) / progress, 1) if progress > 0 else None
