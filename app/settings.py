"""Settings, from `ISTHMUS_*` variables of the environment and a `.env` file. No other module reads the environment."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.artifacts import Precision
from app.storage import Storage
from app.storage.disk_space import DiskSpace
from app.storage.object_store import s3_options

MIN_ADMIN_KEY_LENGTH = 32


def _split(value: object) -> object:
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """All settings. Names end in their unit. The defaults run the embedded service under `data_dir`."""

    model_config = SettingsConfigDict(env_prefix="ISTHMUS_", env_file=".env", frozen=True, extra="ignore")

    data_dir: Path = Field(Path("var/isthmus"), description="Folder for all data of the embedded service.")
    database_url: str = Field("", description="SQLAlchemy URL. Empty: SQLite under `data_dir`.")
    broker_url: str = Field("", description="Celery broker URL. Empty: the filesystem broker under `data_dir`.")
    storage_url: str = Field(
        "", description="fsspec URL (`file://`, `s3://`) of datasets and artifacts. Empty: under `data_dir`."
    )

    s3_endpoint: str = Field("", description="URL of the object store for `s3://`. Empty: that of AWS.")
    s3_region: str = Field("", description="Region of the object store. Empty: that of the AWS environment.")
    s3_access_key: str = Field("", description="Access key of the object store. Empty: the AWS environment, profile or role.")
    s3_secret_key: SecretStr = Field(SecretStr(""), description="Secret key that belongs to the access key.")
    hosts: CommaSeparated = Field(
        (),
        description="Host names of this server beside IP addresses and localhost, separated by commas. `*` stands for any text.",
    )
    origins: CommaSeparated = Field(
        (),
        description="Origins (`https://app.example.org`) of other web pages that may send requests, separated by commas.",
    )
    max_connections: int = Field(
        0, ge=0, description="Maximum number of open connections. 0: 80 % of the limit of open files, raised at the start."
    )
    max_connections_per_address: int = Field(
        2048, gt=0, description="Maximum number of open connections of one client address. Loopback addresses have no limit."
    )

    auth: Literal["auto", "required", "off"] = Field(
        "auto",
        description="Whether callers need an API key. auto: unless the address is a loopback one, without `hosts` and `origins`.",
    )
    admin_key: SecretStr | None = Field(
        None, description="Secret of the API key `admin`, at least 32 characters. It is stored as a digest at the start."
    )
    rate_requests_per_second: float = Field(
        0, ge=0, description="Requests per second of each API key, in bursts of ten seconds' worth. Others get 429. 0: no limit."
    )
    rate_inputs_per_second: float = Field(
        0, ge=0, description="Inputs of predictions per second of each API key, in such bursts. Others get 429. 0: no limit."
    )
    max_streams_per_key: int = Field(
        0, ge=0, description="Event streams and waiting requests for jobs of each API key at the same time. 0: no limit."
    )
    max_uploads_per_key: int = Field(0, ge=0, description="Uploads of each API key at the same time. 0: no limit.")
    quota_queued_jobs: int = Field(0, ge=0, description="Queued jobs of each project. Others get 403. 0: no limit.")
    quota_stored_bytes: int = Field(
        0,
        ge=0,
        description="Size of the files of each project. Above it, uploads and jobs get 403. 0: no limit.",
    )
    audit_days: float = Field(365, gt=0, description="Age at which entries of the audit log are deleted.")
    max_upload_bytes: int = Field(2 * 1024**3, gt=0, description="Maximum size of a dataset file.")
    reserved_disk_bytes: int = Field(
        32 * 1024**2, ge=0, description="Disk space that uploads leave free for the database, checkpoints and logs."
    )
    upload_checks: int = Field(0, ge=0, description="Uploads that are checked at the same time. 0: one per core.")
    max_waiting_uploads: int = Field(64, ge=0, description="Uploads that may wait for their check. Further uploads get 503.")
    upload_check_seconds: float = Field(600, gt=0, description="Maximum duration of the check of an upload.")
    upload_check_memory_bytes: int = Field(
        4 * 1024**3, ge=1024**3, description="Maximum address space of the process that checks an upload."
    )
    max_predict_bytes: int = Field(32 * 1024**2, gt=0, description="Maximum size of the body of a prediction request.")
    max_predict_inputs: int = Field(1024, gt=0, description="Maximum number of inputs in one prediction request.")
    fast_path: Literal["on", "off"] = Field(
        "on", description="Whether simple prediction requests bypass FastAPI. off: the same responses, more slowly."
    )
    predict_device: Literal["cpu", "cuda"] = Field("cpu", description="Device of predictions. cuda: needs `onnxruntime-gpu`.")
    predict_precision: Precision = Field(
        "float32", description="Graph for requests that name none, if the version has it. Otherwise float32."
    )
    predict_threads: int = Field(1, gt=0, description="ONNX Runtime threads per prediction.")
    predict_concurrency: int = Field(
        0, ge=0, description="Predictions that run in threads at the same time. 0: as many as the cores allow."
    )
    predict_inline_max_us: float = Field(
        2000,
        ge=0,
        description="Maximum expected duration of a prediction that runs in the event loop. Longer ones run in threads.",
    )
    predict_max_queue_delay_ms: float = Field(
        500,
        gt=0,
        description="Queue delay above which new requests get 503. Under sustained overload the limit is 0.3 times this.",
    )
    predict_max_batch: int = Field(
        0, ge=0, description="Maximum number of inputs in a batch of several requests. 0: measured when a version is loaded."
    )
    predict_batch_delay_us: float = Field(
        0, ge=0, description="Time that a request waits for others to form a batch although a thread is free."
    )
    predict_max_queue_size: int = Field(
        256, gt=0, description="Maximum number of requests per version that wait for a thread. Further requests get 503."
    )
    predict_queue_timeout_ms: float = Field(
        5000, gt=0, description="Time after which a request that waits for a thread gets 503."
    )
    predict_cache_bytes: int = Field(
        2 * 1024**3, gt=0, description="Estimated memory of the versions that stay loaded for predictions."
    )

    lease_seconds: float = Field(45, gt=0, description="Time without a heartbeat after which a worker loses its job.")
    heartbeat_seconds: float = Field(5, gt=0, description="Interval between heartbeats of a worker.")
    sweep_seconds: float = Field(10, gt=0, description="Interval between sweeps for lost messages and expired leases.")
    resend_seconds: float = Field(60, gt=0, description="Time after which the message of an unclaimed job is sent again.")
    cancel_grace_seconds: float = Field(30, gt=0, description="Time that a trainer has to stop before it is killed.")
    checkpoint_seconds: float = Field(60, ge=0, description="Interval between checkpoints of a running job.")
    job_timeout_seconds: float = Field(24 * 3600, gt=0, description="Maximum duration of one attempt.")
    max_attempts: int = Field(3, gt=0, description="Maximum number of attempts. After the last a job fails as `worker_lost`.")

    webhook_private_addresses: bool = Field(
        False, description="Whether webhooks may reach private addresses: loopback, link-local and internal networks."
    )
    webhook_delivery_days: float = Field(30, gt=0, description="Age at which ended deliveries of webhooks are deleted.")

    pretrained_folders: str = Field(
        "",
        description="Folders with pretrained encoders that jobs may load, separated by `:`. `*`: any folder. "
        "Empty: none, but any for `isthmus up` on a loopback address.",
    )
    pretrained_hub: str = Field(
        "*",
        description="Public repositories of the Hub that jobs may load, separated by commas, such as `sentence-transformers/*`. "
        "`*`: any. Empty: none.",
    )
    max_download_bytes: int = Field(10 * 1024**3, gt=0, description="Maximum size of a pretrained encoder from the Hub.")

    keep_versions: int = Field(
        0,
        ge=0,
        description="Newest versions of a model that are kept. Older ones without alias or active job are deleted. 0: all.",
    )
    keep_events_days: int = Field(0, ge=0, description="Days after which the events of ended jobs are deleted. 0: never.")
    keep_outputs_days: int = Field(0, ge=0, description="Days after which outputs of batch predictions are deleted. 0: never.")
    keep_jobs_days: int = Field(
        0, ge=0, description="Days after which ended jobs without a version are deleted, with their outputs. 0: never."
    )

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Device of jobs. auto: a GPU if there is one.")
    train_processes: int = Field(1, ge=1, description="Processes that train one job together. On CUDA each needs its own GPU.")
    jobs_per_gpu: int = Field(
        1,
        ge=1,
        le=16,
        description="Jobs that a worker with a GPU runs at a time. Each may use an equal part of its memory.",
    )
    train_memory_bytes: int = Field(
        0, ge=0, description="Maximum memory of data of a training process, without that of GPUs. 0: no limit."
    )
    preload: bool = Field(
        True,
        description="Keep a process with all libraries loaded in each worker without a GPU, so that jobs start at once. "
        "It needs about 300 MB.",
    )
    train_threads: int = Field(0, ge=0, description="CPU threads per training process. 0: the default of torch.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Minimum level of log lines.")
    process_name: str = Field("", description="Field `process` of log lines. Empty: the name of the command.")
    parent_pid: int = Field(0, ge=0, description="Process with which this one ends. `isthmus up` sets it for its processes.")

    @model_validator(mode="after")
    def _lease_covers_two_heartbeats(self) -> Self:
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            raise ValueError("lease_seconds must be at least twice heartbeat_seconds, so that one late heartbeat loses no job")
        return self

    @field_validator("admin_key")
    @classmethod
    def _admin_key_is_long(cls, key: SecretStr | None) -> SecretStr | None:
        if key is None or not key.get_secret_value():
            return None
        text = key.get_secret_value()
        if len(text) < MIN_ADMIN_KEY_LENGTH or not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError(
                f"use at least {MIN_ADMIN_KEY_LENGTH} ASCII characters without spaces, such as from: openssl rand -hex 32"
            )
        return key

    @cached_property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir.absolute()}/isthmus.db"

    @cached_property
    def broker(self) -> str:
        return self.broker_url or "filesystem://"

    @cached_property
    def storage(self) -> str:
        return self.storage_url or f"file://{self.data_dir.absolute()}/storage"

    def open_storage(self, url: str = "", copies: Path | None = None) -> Storage:
        """Open the storage, or that of another URL with the same credentials. `copies` is the folder for copies of files."""
        url = url or self.storage
        keys = self.s3_access_key, self.s3_secret_key.get_secret_value()
        options = s3_options(self.s3_endpoint, self.s3_region, *keys) if url.startswith("s3://") else {}
        return Storage(url, options, copies)

    @cached_property
    def disk_space(self) -> DiskSpace:
        """The disks of uploads: that of unfinished ones, and that of the storage if it is local."""
        local = Path(self.storage.removeprefix("file://"))
        folders = [self.scratch_dir, local] if self.storage.startswith("file://") else [self.scratch_dir]
        return DiskSpace(folders, self.reserved_disk_bytes)

    @cached_property
    def broker_dir(self) -> Path:
        """Folder of the messages of the filesystem broker."""
        return self.data_dir.absolute() / "broker"

    @cached_property
    def scratch_dir(self) -> Path:
        """Folder of unfinished uploads and run directories of trainers. It can be emptied while nothing runs."""
        return self.data_dir.absolute() / "scratch"
