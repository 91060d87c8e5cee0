"""The messages of a trainer to its supervisor: JSON lines on its standard output, and one result file at the end."""

from pydantic import BaseModel

from app.artifacts import TrainingPrecision

RESULT_FILE = "result.json"


class MetricPoint(BaseModel):
    """One point of a metric series."""

    step: int
    epoch: float
    name: str
    value: float


class JobWarning(BaseModel):
    """A problem of the run that did not end it."""

    code: str
    message: str


class Report(BaseModel):
    """The progress since the last report. `checkpoint` is the storage key of a stored checkpoint.

    `phase` names what the trainer does from now on. `training_precision` is the decision of the first attempt, for all later
    ones.
    """

    progress: float
    metrics: list[MetricPoint] = []
    warnings: list[JobWarning] = []
    checkpoint: str | None = None
    phase: str | None = None
    training_precision: TrainingPrecision | None = None
