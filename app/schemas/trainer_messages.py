"""What a trainer tells its supervisor: JSON lines on its standard output, and one result file when it is done."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from app.artifacts import Manifest

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


class StoredArtifact(BaseModel):
    """A file of the version or of the output, already in the storage under this attempt's prefix."""

    name: str
    storage_key: str
    digest: str
    size_bytes: int


class Result(BaseModel):
    """What becomes the version when the supervisor's last transaction commits."""

    modality: str
    metrics: dict[str, Any]
    manifest: Manifest
    artifacts: list[StoredArtifact]


class PredictionResult(BaseModel):
    """What a prediction gives instead: all its answers in one file."""

    metrics: dict[str, Any]
    rows: int
    file: StoredArtifact


class TrialResult(BaseModel):
    """What a trial says of its end instead; its network is in the storage (`worker.search.remote_trials`)."""

    model_config = ConfigDict(extra="forbid")

    metrics: dict[str, Any]


AnyResult = Result | PredictionResult | TrialResult
