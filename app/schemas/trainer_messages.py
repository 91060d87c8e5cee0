"""What a trainer tells its supervisor: JSON lines on its standard output, and one result file when it is done."""

from pydantic import BaseModel

from app.artifacts import TrainingPrecision

RESULT_FILE = "result.json"


class MetricPoint(BaseModel):
    """One point of one series."""

    step: int
    epoch: float
    name: str
    value: float


class JobWarning(BaseModel):
    """Something the user should know about the run."""

    code: str
    message: str


class Report(BaseModel):
    """Progress since the last report. `checkpoint` is the storage key of a checkpoint that is safely stored.

    `training_precision` is the decision of the first attempt, for all later ones.
    """

    progress: float
    metrics: list[MetricPoint] = []
    warnings: list[JobWarning] = []
    checkpoint: str | None = None
    training_precision: TrainingPrecision | None = None
