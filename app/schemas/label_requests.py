"""Requests for labels, the answers to them, and what they measure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.db.label_tables import LabelRequestRow, LabelRow
from app.labels.intervals import CONFIDENCE, Interval
from app.labels.measurement import AnsweredRow, Measurement, StratumSize, measure, next_look
from app.schemas.labels import Label

MAX_COUNT = 500
Purpose = Literal["accuracy", "gain", "both", "improve"]
PURPOSES = (
    "accuracy: rows of five bands of confidence. gain: rows on which the version and its source-only model differ. both: half of "
    "each, so that one label serves both. improve: rows to learn from in a next job; they measure nothing."
)
Row = Annotated[int, Field(ge=1, le=2**53, description="Number of the row in the dataset, from 1.")]


class LabelRequestCreate(BaseModel):
    """How many rows to label, and what for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = Field(30, ge=20, le=MAX_COUNT, description="Number of rows. Figures exist after 20, 30, 50, 100 and all labels.")
    purpose: Purpose = Field("both", description=PURPOSES)


class Answer(BaseModel):
    """The label of one row. Neither a label nor `unclear` opens the row again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    row: Row
    label: str | None = Field(None, max_length=1000, description="Name of a class.")
    unclear: bool = Field(False, description="The class of the row cannot be recognised.")

    @model_validator(mode="after")
    def _one_answer(self) -> Self:
        if self.unclear and self.label is not None:
            raise ValueError("give a label or `unclear`, not both")
        return self


class Answers(BaseModel):
    """Labels of some rows of a request. Other rows stay as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: list[Answer] = Field(max_length=MAX_COUNT)


class LabelDatasetCreate(BaseModel):
    """The name of a dataset of labels."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    name: Label


class RowToLabel(BaseModel):
    """One row with its label, if it has one. What the models predict is not shown, because it would influence the label."""

    row: Row
    preview: dict[str, Any] = Field(description="As in the preview of the dataset, without labels.")
    label: str | None
    unclear: bool

    @classmethod
    def of(cls, row: LabelRow) -> "RowToLabel":
        return cls(row=row.row, preview=row.preview, label=row.label, unclear=row.unclear)


class IntervalOut(BaseModel):
    """A value with its 90 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, interval: Interval) -> "IntervalOut":
        return cls(value=interval.value, low=interval.low, high=interval.high)


class ClassFigures(BaseModel):
    """The recall of a class with at least five labels."""

    labels: int
    recall: IntervalOut


class EstimateComparison(BaseModel):
    """The estimate that was made without labels, and its error: estimate minus measured accuracy."""

    value: float
    error: float
    inside_interval: bool = Field(description="Whether the measured interval contains the estimate.")


class Measured(BaseModel):
    """Figures from labels, which change only at the planned looks. Those that the purpose does not measure are null."""

    look: int = Field(description="Number of answers that the figures use.")
    labels: int = Field(description="Those of them that are not `unclear`.")
    unclear: int
    confidence: float = Field(CONFIDENCE, description="Confidence of the intervals.")
    accuracy: IntervalOut | None
    source_only_accuracy: float | None
    gain: IntervalOut | None = Field(description="Accuracy of the version minus that of its source-only model.")
    helped: Literal["yes", "no", "unsure"] | None = Field(
        description="Whether adaptation helped: `yes` or `no` if the interval of the gain has one sign."
    )
    labels_to_decide: int | None = Field(
        description="With `unsure`: labels of disputed rows, in all, that would decide it if the others look like these."
    )
    classes: dict[str, ClassFigures]
    estimate: EstimateComparison | None

    @classmethod
    def of(cls, found: Measurement, estimate: float | None) -> "Measured":
        """Build the figures of a measurement, and compare the accuracy with this estimate."""
        return cls(
            look=found.look,
            labels=found.labels,
            unclear=found.unclear,
            confidence=CONFIDENCE,
            accuracy=found.accuracy and IntervalOut.of(found.accuracy),
            source_only_accuracy=found.source_only_accuracy,
            gain=found.gain and IntervalOut.of(found.gain),
            helped=found.verdict,
            labels_to_decide=found.labels_to_decide,
            classes={
                name: ClassFigures(labels=one.labels, recall=IntervalOut.of(one.recall)) for name, one in found.classes.items()
            },
            estimate=_compared(found.accuracy, estimate),
        )

    @classmethod
    def by(cls, request: LabelRequestRow) -> "Measured | None":
        """Return the figures of a request, None before its first look and for `improve`."""
        if request.purpose == "improve":
            return None
        strata = [StratumSize(**stratum) for stratum in request.strata]
        found = measure(answered_rows(request.rows), strata, request.total)
        return None if found is None else cls.of(found, request.estimate)


def _compared(accuracy: Interval | None, estimate: float | None) -> EstimateComparison | None:
    if accuracy is None or estimate is None:
        return None
    inside = accuracy.low <= estimate <= accuracy.high
    return EstimateComparison(value=estimate, error=estimate - accuracy.value, inside_interval=inside)


def answered_rows(rows: Sequence[LabelRow]) -> list[AnsweredRow]:
    """Return the rows of a request for `app.labels.measurement`."""
    return [AnsweredRow(row.stratum, row.predicted, row.source_only, row.label, row.unclear) for row in rows]


class Stratum(BaseModel):
    """A part of the dataset that rows are drawn from together."""

    name: str
    rows: int = Field(description="Rows of the dataset in it.")
    drawn: int = Field(description="Rows of this request in it. A label stands for `rows / drawn` rows.")


class NextLook(BaseModel):
    """When the figures change next."""

    labels: int = Field(description="Answers that this look needs, counted from the first row.")
    remaining: int = Field(description="Rows before it that have no answer yet.")


class LabelRequestOut(BaseModel):
    """A request for labels with its progress and its figures."""

    id: UUID
    model: str
    version: int
    dataset: UUID
    purpose: Purpose
    seed: int = Field(description="Seed of the draw.")
    classes: list[str] = Field(description="Possible labels.")
    count: int
    answered: int = Field(description="Rows with a label or `unclear`.")
    unclear: int
    strata: list[Stratum]
    next_look: NextLook | None = Field(description="Null once all rows are answered, and for `improve`.")
    measured: Measured | None = Field(description="Null before the first look, and for `improve`.")
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: LabelRequestRow) -> "LabelRequestOut":
        return cls(**_fields(row))


class LabelRequestCreated(LabelRequestOut):
    """A new request with its rows, in the order in which to label them."""

    rows: list[RowToLabel]

    @classmethod
    def of(cls, row: LabelRequestRow) -> "LabelRequestCreated":
        return cls(**_fields(row), rows=[RowToLabel.of(one) for one in row.rows])


class RowsToLabel(BaseModel):
    """All rows of a request, in the order in which to label them."""

    data: list[RowToLabel]


def _fields(row: LabelRequestRow) -> dict[str, Any]:
    answered = answered_rows(row.rows)
    drawn = [one.stratum for one in row.rows]
    return {
        "id": row.id,
        "model": row.model_name,
        "version": row.version_number,
        "dataset": row.dataset_id,
        "purpose": row.purpose,
        "seed": row.seed,
        "classes": row.classes,
        "count": len(answered),
        "answered": sum(one.is_answered for one in answered),
        "unclear": sum(one.unclear for one in answered),
        "strata": [Stratum(**one, drawn=drawn.count(number)) for number, one in enumerate(row.strata)],
        "next_look": None if row.purpose == "improve" else _next_look(answered),
        "measured": Measured.by(row),
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def _next_look(rows: Sequence[AnsweredRow]) -> NextLook | None:
    look = next_look(rows)
    if look is None:
        return None
    return NextLook(labels=look, remaining=sum(not row.is_answered for row in rows[:look]))
