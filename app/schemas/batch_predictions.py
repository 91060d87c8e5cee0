"""Requests and responses of batch predictions."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.artifacts import Precision
from app.db.tables import JobRow
from app.job_state import JobStatus
from app.schemas.jobs import DatasetReference, JobError, Phase, Position, eta_seconds
from app.schemas.models import VersionNumber
from app.schemas.predict import ModelReference
from app.schemas.trainer_messages import JobWarning

Format = Literal["parquet", "csv", "jsonl"]


class BatchPredictionOptions(BaseModel):
    """The columns and the format of the output, which has one row for each row of the dataset, in order.

    Columns: `row` from 1, `label`, `confidence`, `abstained` (whether the confidence is below the version's threshold);
    `label_2`, `confidence_2` and so on with `top_k`; `probability_<class>` for each class with `probabilities`; and `error`,
    the reason why a row has no prediction.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: Format = Field("parquet", description="Format of the output file.")
    top_k: int = Field(1, ge=1, le=1000, description="Number of most probable classes per row.")
    probabilities: bool = Field(False, description="Whether to add the probability of every class.")
    precision: Precision = Field("float32", description="The graph of the version to run.")

    @classmethod
    def of_job(cls, params: Mapping[str, Any]) -> "BatchPredictionOptions":
        """Read the options from a job's parameters; older jobs lack some of them."""
        return BatchPredictionOptions.model_validate(
            {name: params[name] for name in BatchPredictionOptions.model_fields if name in params}
        )


class BatchPredictionCreate(BatchPredictionOptions):
    """The prediction of one dataset by one version."""

    model: ModelReference
    dataset: DatasetReference = Field(description="Dataset of the model's modality, by id or name. Labels are ignored.")

    def options(self) -> BatchPredictionOptions:
        return BatchPredictionOptions.model_validate(self.model_dump(include=set(BatchPredictionOptions.model_fields)))


class RowCounts(BaseModel):
    """The numbers of rows at the last report."""

    total: int
    completed: int = Field(description="Rows with a prediction.")
    failed: int = Field(description="Rows with an `error` instead.")


class OutputOut(BaseModel):
    """The output file; `GET /batch-predictions/{id}/output` returns its content."""

    rows: int
    size_bytes: int
    digest: str = Field(description="SHA-256 of the file.")


class BatchPredictionOut(BatchPredictionOptions):
    """One batch prediction."""

    id: UUID
    model: str
    version: VersionNumber = Field(description="Resolved when the prediction was submitted.")
    dataset: UUID
    status: JobStatus
    phase: Phase
    position: Position
    counts: RowCounts
    rows_per_second: float | None = Field(description="Speed at the last progress report.")
    progress: float = Field(ge=0, le=1)
    eta_seconds: float | None = Field(description="Estimate at the last change; null while unknown.")
    attempt: int = Field(description="Number of times a worker has started the prediction. Each attempt resumes the last one.")
    max_attempts: int = Field(
        description="Grows with every lost attempt that stored a part, so only attempts without progress count."
    )
    warnings: list[JobWarning]
    error: JobError | None
    result: OutputOut | None = Field(description="The output of a succeeded prediction.")
    description: str
    tags: list[str]
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = Field(description="Start of the current attempt.")
    finished_at: datetime | None

    @classmethod
    def of(cls, row: JobRow) -> "BatchPredictionOut":
        """Build the response for a row."""
        options = BatchPredictionOptions.of_job(row.params).model_dump()
        names = cls.model_fields.keys() - options.keys()
        columns: dict[str, Any] = {name: getattr(row, name) for name in names if name in row.__mapper__.column_attrs}
        return cls(
            **options,
            **columns,
            model=row.model_name,
            version=int(row.base["model"].rpartition(":")[2]),
            dataset=row.source_id,
            counts=_counts(row),
            rows_per_second=row.metrics.get("rows_per_second"),
            phase=row.phase,
            eta_seconds=eta_seconds(row),
            error=JobError(code=row.error_code, message=row.error_message or "") if row.error_code else None,
            result=_result(row),
        )


def _counts(row: JobRow) -> RowCounts:
    return RowCounts(
        total=row.params["total"], completed=int(row.metrics.get("completed", 0)), failed=int(row.metrics.get("failed", 0))
    )


def _result(row: JobRow) -> OutputOut | None:
    if row.output is None:
        return None
    return OutputOut(rows=row.output.rows, size_bytes=row.output.size_bytes, digest=row.output.digest)
