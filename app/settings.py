"""The one place that reads the environment: `ISTHMUS_*` variables and a `.env` file. A bad value stops the start."""

from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.artifacts import Precision


class Settings(BaseSettings):
    """All settings. Names end in their unit; the defaults are the embedded service under `data_dir`."""

    model_config = SettingsConfigDict(env_prefix="ISTHMUS_", env_file=".env", frozen=True, extra="ignore")

    data_dir: Path = Field(Path("var/isthmus"), description="Everything the embedded service stores.")
    database_url: str = Field("", description="SQLAlchemy URL. Empty: SQLite under `data_dir`.")
    broker_url: str = Field("", description="Celery broker URL. Empty: the filesystem broker under `data_dir`.")
    storage_url: str = Field(
        "", description="fsspec URL (`file://`, `s3://`) of datasets and artifacts. Empty: under `data_dir`."
    )

    max_upload_bytes: int = Field(2 * 1024**3, gt=0, description="Largest dataset file.")
    max_predict_bytes: int = Field(32 * 1024**2, gt=0, description="Largest body of a prediction request.")
    max_predict_inputs: int = Field(1024, gt=0, description="Most inputs in one prediction request.")
    fast_path: Literal["on", "off"] = Field(
        "on", description="Whether simple prediction requests bypass FastAPI. off: the same responses, more slowly."
    )
    predict_device: Literal["cpu", "cuda"] = Field("cpu", description="Where predictions run. cuda: needs `onnxruntime-gpu`.")
    predict_precision: Precision = Field(
        "float32", description="Graph that predictions run where a request names none and the version has it; else float32."
    )
    predict_threads: int = Field(1, gt=0, description="ONNX Runtime threads of one prediction.")
    predict_concurrency: int = Field(0, ge=0, description="Runs in threads at the same time. 0: as many as there are cores for.")
    predict_inline_max_us: float = Field(
        2000, ge=0, description="Runs that should take no longer happen in the event loop, larger ones in threads."
    )
    predict_max_queue_delay_ms: float = Field(
        500,
        gt=0,
        description="Where requests wait longer for their turn, more get 503; under lasting overload, 0.3 of that.",
    )
    predict_max_batch: int = Field(
        0, ge=0, description="Most inputs of requests that are joined into one run. 0: decided when a version is loaded."
    )
    predict_batch_delay_us: float = Field(0, ge=0, description="Time that a request waits for others although a thread is free.")
    predict_max_queue_size: int = Field(256, gt=0, description="Requests of one version that may wait for a thread. More: 503.")
    predict_queue_timeout_ms: float = Field(5000, gt=0, description="A request that waited so long for a thread is answered 503.")
    predict_cache_bytes: int = Field(2 * 1024**3, gt=0, description="Versions kept loaded for predictions, by estimated memory.")

    lease_seconds: float = Field(45, gt=0, description="A worker that is silent for this long has lost its job.")
    heartbeat_seconds: float = Field(5, gt=0, description="Time between two heartbeats of a worker.")
    sweep_seconds: float = Field(10, gt=0, description="Time between two sweeps for lost messages and expired leases.")
    resend_seconds: float = Field(60, gt=0, description="A job queued for this long without a claim is sent again.")
    cancel_grace_seconds: float = Field(30, gt=0, description="Time a trainer has to stop by itself before it is killed.")
    checkpoint_seconds: float = Field(60, ge=0, description="Time between two checkpoints of a running job.")
    job_timeout_seconds: float = Field(24 * 3600, gt=0, description="Longest run of one attempt.")
    max_attempts: int = Field(3, gt=0, description="Attempts before a job is failed as `worker_lost`.")

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where jobs train. auto: a GPU if there is one.")
    train_processes: int = Field(
        1, ge=1, description="Processes that train one job together, on CUDA each on a GPU of its own: no more than there are."
    )
    train_threads: int = Field(0, ge=0, description="CPU threads of a training process. 0: as many as torch chooses.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is logged.")
    process_name: str = Field("", description="`process` in the log lines. Empty: the command's name.")

    @model_validator(mode="after")
    def _heartbeats_fit_into_the_lease(self) -> Self:
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            raise ValueError("lease_seconds must be at least twice heartbeat_seconds: one late heartbeat must not lose a job")
        return self

    @cached_property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir.absolute()}/isthmus.db"

    @cached_property
    def broker(self) -> str:
        return self.broker_url or "filesystem://"

    @cached_property
    def storage(self) -> str:
        return self.storage_url or f"file://{self.data_dir.absolute()}/storage"

    @cached_property
    def broker_dir(self) -> Path:
        """Where the filesystem broker keeps its messages."""
        return self.data_dir.absolute() / "broker"

    @cached_property
    def scratch_dir(self) -> Path:
        """Uploads on their way in and run directories of trainers; safe to empty when nothing runs."""
        return self.data_dir.absolute() / "scratch"
