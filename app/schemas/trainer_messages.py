"""What a trainer tells its supervisor: JSON lines on its standard output, and one result file when it is done."""

from pydantic import BaseModel

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
    """Progress since the last report. `checkpoint` is the storage key of a checkpoint that is safely stored."""

    progress: float
    metrics: list[MetricPoint] = []
    warnings: list[JobWarning] = []
    checkpoint: str | None = None
