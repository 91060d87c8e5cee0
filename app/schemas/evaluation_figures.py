"""Figures of evaluations, as they are stored with versions."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from app.db.label_tables import EvaluationRow
from app.schemas.label_requests import EstimateComparison, IntervalOut
from app.schemas.version_metrics import ConfusionCell


class ClassCounts(BaseModel):
    """Labelled rows of a class, the correct predictions among them, and what follows."""

    examples: int
    correct: int
    recall: float | None
    precision: float | None


class Figures(BaseModel):
    """The figures of a version on a labelled dataset. Intervals have a confidence of 90 %."""

    rows: int = Field(description="Rows with a label and a prediction.")
    failed: int = Field(description="Labelled rows that the version cannot read. They count in no figure.")
    accuracy: IntervalOut
    balanced_accuracy: IntervalOut = Field(description="Mean of the recalls of the classes.")
    macro_f1: IntervalOut
    calibration_error: IntervalOut = Field(description="Expected calibration error of the confidences.")
    labels: list[str] = Field(description="Classes of the confusion matrix: those of the version, then others of the dataset.")
    confusion: list[list[int]] | None = Field(
        None, description="One row for each true class, one column for each predicted class; null for more than 100 classes."
    )
    largest_errors: list[ConfusionCell] | None = Field(
        None, description="Of more than 100 classes: the pairs that are confused most often."
    )
    classes: dict[str, ClassCounts]
    estimate: EstimateComparison | None = Field(description="The estimate from the training, compared with this accuracy.")


class StoredEvaluation(Figures):
    """Figures that an evaluation stored with a version."""

    id: UUID
    evaluation: UUID | None = Field(description="Its job; null if that was deleted.")
    dataset: UUID
    created_at: datetime

    @classmethod
    def of(cls, row: EvaluationRow) -> "StoredEvaluation":
        return cls(**row.metrics, id=row.id, evaluation=row.job_id, dataset=row.dataset_id, created_at=row.created_at)
