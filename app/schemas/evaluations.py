"""Requests and responses of evaluations."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.db.tables import JobRow
from app.job_state import JobStatus
from app.schemas.evaluation_figures import Figures
from app.schemas.jobs import DatasetReference, JobError, Phase, Position, VersionReference, eta_seconds
from app.schemas.label_requests import IntervalOut
from app.schemas.predict import ModelReference
from app.schemas.trainer_messages import JobWarning

MAX_VERSIONS = 10


class EvaluationCreate(BaseModel):
    """The versions to measure, and the labelled dataset to measure them on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    versions: list[ModelReference] = Field(min_length=1, max_length=MAX_VERSIONS)
    dataset: DatasetReference = Field(
        description="Labelled dataset of the versions' modality, by id or name. Rows without a label are left out."
    )


class VersionFigures(Figures):
    """The figures of one version of an evaluation."""

    version: VersionReference


class VersionComparison(BaseModel):
    """Two versions on the same rows."""

    first: VersionReference
    second: VersionReference
    difference: IntervalOut = Field(description="Accuracy of the first minus that of the second.")
    only_first_correct: int
    only_second_correct: int
    p_value: float = Field(description="Exact McNemar test that both are equally accurate.")
    better: Literal["first", "second", "unsure"] = Field(description="`unsure` if the interval of the difference contains 0.")


class EvaluationOut(BaseModel):
    """One evaluation."""

    id: UUID
    versions: list[VersionReference] = Field(description="Resolved when the evaluation was submitted.")
    dataset: UUID
    status: JobStatus
    phase: Phase
    position: Position
    results: list[VersionFigures] | None = Field(description="In the order of the versions; null until it has succeeded.")
    comparisons: list[VersionComparison] = Field(description="One for each pair of versions.")
    progress: Annotated[float, Field(ge=0, le=1)]
    eta_seconds: float | None = Field(description="Estimate at the last change; null while unknown.")
    attempt: int
    max_attempts: int
    warnings: list[JobWarning]
    error: JobError | None
    description: str
    tags: list[str]
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, row: JobRow) -> "EvaluationOut":
        """Build the response for a row."""
        columns: dict[str, Any] = {name: getattr(row, name) for name in cls.model_fields if name in row.__mapper__.column_attrs}
        return cls(
            **columns,
            versions=[VersionReference(model=one["model"], number=one["number"]) for one in row.params["versions"]],
            dataset=row.source_id,
            results=row.metrics.get("results"),
            comparisons=row.metrics.get("comparisons", []),
            phase=row.phase,
            eta_seconds=eta_seconds(row),
            error=JobError(code=row.error_code, message=row.error_message or "") if row.error_code else None,
        )
