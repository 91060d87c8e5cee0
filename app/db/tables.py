"""The tables. Statuses are strings with their enum mapped here; constraint names follow one convention."""

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ColumnElement,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    UniqueConstraint,
    and_,
    case,
    func,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column, relationship

from app.db.session import UtcDateTime, db_now
from app.job_state import ENDED, JobStatus
from app.model_reference import DEFAULT_PROJECT

JsonType = JSON().with_variant(JSONB(), "postgresql")
BigId = BigInteger().with_variant(Integer(), "sqlite")  # SQLite autoincrements only INTEGER keys
StatusType = Enum(
    JobStatus, native_enum=False, create_constraint=True, length=16, name="status", values_callable=lambda e: [s.value for s in e]
)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime(), dict[str, Any]: JsonType, list[Any]: JsonType, dict[str, int]: JsonType}


class OfProject:
    """Rows of one project. Sessions of a caller see only those of its project (`app.db.projects`)."""

    project: Mapped[str] = mapped_column(String(100), default=DEFAULT_PROJECT, server_default=DEFAULT_PROJECT)


def _partial_index(name: str, *columns: str, where: str) -> Index:
    """Return an index of the rows that meet a condition, on both databases."""
    condition: ColumnElement[bool] = text(where)  # type: ignore[assignment]  # accepted by both dialects
    return Index(name, *columns, sqlite_where=condition, postgresql_where=condition)


class Labelled:
    """Texts of users about a row; they mean nothing to the service."""

    description: Mapped[str] = mapped_column(default="", server_default="")
    tags: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")


class DatasetRow(OfProject, Labelled, Base):
    """An immutable upload. `fingerprint` is a digest of bytes, format, modality and options, used for deduplication.

    A deleted dataset keeps its row, for the lineage of its versions; its file and fingerprint are removed.
    """

    __tablename__ = "dataset"
    __table_args__ = (
        Index("ix_dataset_page", "project", "created_at", "id"),
        Index("uq_dataset_fingerprint", "project", "fingerprint", unique=True),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    name: Mapped[str] = mapped_column(String(200))
    modality: Mapped[str] = mapped_column(String(32))
    filename: Mapped[str] = mapped_column(String(255))
    format: Mapped[str] = mapped_column(String(16))
    options: Mapped[dict[str, Any]]
    digest: Mapped[str] = mapped_column(String(64))
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    storage_key: Mapped[str] = mapped_column(String(255))
    rows: Mapped[int] = mapped_column(BigInteger)
    labelled: Mapped[bool]
    classes: Mapped[dict[str, int] | None]
    profile: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=db_now())
    deleted_at: Mapped[datetime | None]

    @property
    def interpretation(self) -> dict[str, Any]:
        """Return what the check has found out about the file."""
        return self.profile

    @property
    def warnings(self) -> list[dict[str, Any]]:
        """Return the warnings of the check."""
        found: list[dict[str, Any]] = self.profile.get("warnings", [])
        return found


class JobRow(OfProject, Labelled, Base):
    """One job of any kind (`app.job_types`). Lease columns and `finished_at` are tied to the status.

    An adaptation learns from its sources, starts from `base` and makes a version. A batch prediction reads `source`, applies the
    version in `base` and produces an output. A trial belongs to a search, its `parent`, and trains on the datasets of the parent.
    States, leases, attempts, checkpoints and events are the same for all kinds.
    """

    __tablename__ = "job"
    __table_args__ = (
        CheckConstraint("(status IN ('running', 'cancelling')) = (lease_owner IS NOT NULL)", name="lease_owner"),
        CheckConstraint("(lease_owner IS NULL) = (lease_expires_at IS NULL)", name="lease"),
        CheckConstraint("(status IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)", name="finished"),
        CheckConstraint("attempt >= 0 AND attempt <= max_attempts", name="attempt"),
        CheckConstraint("(kind = 'trial') = (parent_id IS NOT NULL AND trial IS NOT NULL)", name="trial"),
        Index("ix_job_trial", "parent_id", "trial", unique=True),
        Index("ix_job_page", "project", "kind", "created_at", "id"),
        Index("uq_job_idempotency_key", "project", "idempotency_key", unique=True),
        Index("ix_job_status", "status", "run_after"),
        Index("ix_job_status_page", "project", "kind", "status", "created_at", "id"),
        Index("ix_job_model_page", "project", "model_name", "kind", "status", "created_at", "id"),
        Index("ix_job_expiry", "finished_at", "id"),
        _partial_index("ix_job_uncleaned", "finished_at", where="cleaned_at IS NULL"),
        _partial_index("ix_job_uncounted", "finished_at", "status", "kind", where="counted_at IS NULL"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    kind: Mapped[str] = mapped_column(String(32), default="adaptation", doc="A name in `app.job_types.JOB_TYPES`.")
    model_name: Mapped[str] = mapped_column(String(100))
    source_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("dataset.id"), index=True)
    target_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("dataset.id"), index=True)
    evaluation_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("dataset.id"), index=True)
    base: Mapped[dict[str, Any]]
    base_version_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("version.id", use_alter=True, name="fk_job_base_version_id_version"),
        index=True,
        doc="Null once the version was deleted; `base` keeps its name.",
    )
    params: Mapped[dict[str, Any]]
    target_labels: Mapped[dict[str, Any] | None] = mapped_column(
        doc="{rows, labels, measured} of the target, fixed at the submission; null without `use_target_labels`."
    )
    parent_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("job.id"), doc="The search that a trial belongs to.")
    trial: Mapped[str | None] = mapped_column(String(64), doc="The search's name of the trial.")

    status: Mapped[JobStatus] = mapped_column(StatusType, default=JobStatus.QUEUED)
    attempt: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int] = mapped_column(default=3)
    lease_owner: Mapped[str | None] = mapped_column(String(200))
    lease_expires_at: Mapped[datetime | None]
    run_after: Mapped[datetime] = mapped_column(default=db_now())
    sent_at: Mapped[datetime | None] = mapped_column(
        default=db_now(), doc="When a message was last sent to the broker; null: not since the job was queued again."
    )
    checkpoint: Mapped[str | None] = mapped_column(String(255), doc="Storage key of the newest checkpoint.")
    training_precision: Mapped[str | None] = mapped_column(
        String(8), doc="Decided by the first attempt; its later attempts and its trials use it too. Null: not decided."
    )

    progress: Mapped[float] = mapped_column(default=0.0)
    reported_phase: Mapped[str | None] = mapped_column(
        String(64), doc="What the current attempt is doing; null until its trainer reports."
    )
    first_progress: Mapped[float | None] = mapped_column(
        doc="Progress at the start of the current attempt; above 0 after a resume."
    )
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict, doc="The newest value of each metric.")
    warnings: Mapped[list[Any]] = mapped_column(default=list, doc="[{code, message}]")
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None]

    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    request_digest: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=db_now())
    updated_at: Mapped[datetime] = mapped_column(default=db_now(), onupdate=db_now())
    started_at: Mapped[datetime | None] = mapped_column(doc="Start of the current attempt.")
    finished_at: Mapped[datetime | None]
    cleaned_at: Mapped[datetime | None] = mapped_column(
        doc="When the temporary files of the ended job were deleted; null: not yet."
    )
    counted_at: Mapped[datetime | None] = mapped_column(doc="When the ended job was added to `job_total`; null: not yet.")
    if TYPE_CHECKING:  # defined below the class, whose columns it compares
        position: Mapped[int | None]

    version: Mapped["VersionRow | None"] = relationship(back_populates="job", foreign_keys="VersionRow.job_id")
    further_sources: Mapped[list["JobSourceRow"]] = relationship(order_by="JobSourceRow.position", passive_deletes=True)
    output: Mapped["OutputRow | None"] = relationship()
    parent: Mapped["JobRow | None"] = relationship(remote_side=[id], viewonly=True)
    trials: Mapped[list["JobRow"]] = relationship(order_by="JobRow.created_at, JobRow.trial", viewonly=True)

    @property
    def source_ids(self) -> list[uuid.UUID]:
        """Return the ids of all sources, in the order of the request."""
        first = [self.source_id] if self.source_id is not None else []
        return first + [further.dataset_id for further in self.further_sources]

    @property
    def phase(self) -> str | None:
        """Return what happens to the job now; None once it has ended."""
        if self.status in ENDED:
            return None
        return "queued" if self.status == JobStatus.QUEUED else self.reported_phase or "starting"


class JobSourceRow(Base):
    """A source of an adaptation beside its first one, which is `job.source_id`."""

    __tablename__ = "job_source"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, doc="From 1, in the order of the request.")
    dataset_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("dataset.id"), index=True)


def reads_dataset(dataset_id: uuid.UUID) -> ColumnElement[bool]:
    """Return the condition that a job names a dataset."""
    further = select(JobSourceRow.job_id).where(JobSourceRow.dataset_id == dataset_id)
    columns = (JobRow.source_id, JobRow.target_id, JobRow.evaluation_id)
    return or_(*(column == dataset_id for column in columns), JobRow.id.in_(further))


_Waiting: Any = JobRow.__table__.alias("waiting")
_waits_no_shorter = or_(
    _Waiting.c.created_at < JobRow.created_at, and_(_Waiting.c.created_at == JobRow.created_at, _Waiting.c.id <= JobRow.id)
)
_position = (
    select(func.count())
    .select_from(_Waiting)
    .where(_Waiting.c.project == JobRow.project, _Waiting.c.status == JobStatus.QUEUED, _waits_no_shorter)
    .correlate(JobRow.__table__)
    .scalar_subquery()
)
JobRow.position = column_property(case((JobRow.status == JobStatus.QUEUED, _position)), deferred=True)


class EventRow(Base):
    """One event of a job; its id is the id of the server-sent event. The points of a `metrics` event are rows of `metric`."""

    __tablename__ = "event"
    __table_args__ = (
        Index("ix_event_job", "job_id", "id"),
        _partial_index("ix_event_expiry", "created_at", where="kind <> 'done'"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    attempt: Mapped[int]
    kind: Mapped[str] = mapped_column(String(32))
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=db_now())

    points: Mapped[list["MetricRow"]] = relationship(
        primaryjoin="and_(foreign(MetricRow.job_id) == EventRow.job_id, foreign(MetricRow.event_id) == EventRow.id)",
        order_by="MetricRow.id",
        viewonly=True,
    )

    def content(self) -> dict[str, Any]:
        """Return the data of the event for callers; `points` must be loaded."""
        if self.kind != "metrics" or "points" in self.data:  # events of earlier releases have their points
            return self.data
        names = ("step", "epoch", "name", "value")
        return {"points": [{name: getattr(point, name) for name in names} for point in self.points]}


class MetricRow(Base):
    """One point of a metric series. A point that was reported later replaces those of the same step, which stay."""

    __tablename__ = "metric"
    __table_args__ = (
        UniqueConstraint("job_id", "name", "step", "event_id", name="uq_metric_point"),
        Index("ix_metric_event", "job_id", "event_id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    event_id: Mapped[int] = mapped_column(
        BigInteger, server_default="0", doc="The event that reported the point; 0: an event that stores its points itself."
    )
    attempt: Mapped[int]
    step: Mapped[int]
    epoch: Mapped[float]
    name: Mapped[str] = mapped_column(String(64))
    value: Mapped[float]


class ModelRow(OfProject, Labelled, Base):
    """A name with numbered versions."""

    __tablename__ = "model"
    __table_args__ = (
        Index("ix_model_page", "project", "created_at", "id"),
        Index("uq_model_name", "project", "name", unique=True),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    name: Mapped[str] = mapped_column(String(100))
    last_number: Mapped[int] = mapped_column(
        default=0, server_default="0", doc="Number of the last version that was registered; never given again."
    )
    created_at: Mapped[datetime] = mapped_column(default=db_now())

    aliases: Mapped[list["AliasRow"]] = relationship(back_populates="model", order_by="AliasRow.name")


class VersionRow(Labelled, Base):
    """The result of one job. It exists if and only if the job succeeded."""

    __tablename__ = "version"
    __table_args__ = (UniqueConstraint("model_id", "number", name="uq_version_number"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    model_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("model.id"))
    number: Mapped[int]
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("job.id"), unique=True)
    attempt: Mapped[int]
    base_version_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("version.id"), index=True)
    modality: Mapped[str] = mapped_column(String(32))
    digest: Mapped[str] = mapped_column(
        String(64), doc="SHA-256 of manifest.json, which holds the digests of the other artifacts."
    )
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    metrics: Mapped[dict[str, Any]]
    manifest: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=db_now())

    model: Mapped[ModelRow] = relationship()
    job: Mapped[JobRow] = relationship(back_populates="version", foreign_keys=[job_id])
    base_version: Mapped["VersionRow | None"] = relationship(remote_side=[id])
    artifacts: Mapped[list["ArtifactRow"]] = relationship(order_by="ArtifactRow.name")


class ArtifactRow(Base):
    """One stored file of a version."""

    __tablename__ = "artifact"

    version_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("version.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    storage_key: Mapped[str] = mapped_column(String(255), index=True)
    digest: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)


class OutputRow(Base):
    """The output file of a batch prediction. It exists if and only if the prediction succeeded."""

    __tablename__ = "output"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int]
    storage_key: Mapped[str] = mapped_column(String(255), index=True)
    digest: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(default=db_now(), index=True)


class AliasRow(Base):
    """A movable name for a version."""

    __tablename__ = "alias"

    model_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    version_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("version.id"), index=True)
    updated_at: Mapped[datetime] = mapped_column(default=db_now(), onupdate=db_now())

    model: Mapped[ModelRow] = relationship(back_populates="aliases")
    version: Mapped[VersionRow] = relationship()


class RegistryRevisionRow(Base):
    """The only row holds a number that grows with every change of aliases or versions (`app.db.registry_revision`)."""

    __tablename__ = "registry_revision"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    revision: Mapped[int] = mapped_column(BigInteger, default=0)


class ApiKeyRow(Base):
    """An API key. The secret itself is not stored, only its SHA-256."""

    __tablename__ = "api_key"
    __table_args__ = (Index("ix_api_key_page", "created_at", "id"),)

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    project: Mapped[str] = mapped_column(String(100))
    name: Mapped[str] = mapped_column(String(100))
    digest: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[Any]]
    models: Mapped[list[Any] | None] = mapped_column(doc="Patterns of model names; null: all models.")
    created_at: Mapped[datetime] = mapped_column(default=db_now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None] = mapped_column(doc="Written at most once a minute.")


class AuditRow(Base):
    """Who changed or downloaded what, and who was refused. Rows are never changed, and deleted only by age."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_at", "at", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(default=db_now())
    key_id: Mapped[str] = mapped_column(String(16))
    project: Mapped[str] = mapped_column(String(100))
    action: Mapped[str] = mapped_column(String(64))
    object: Mapped[str] = mapped_column(String(500))
    outcome: Mapped[str] = mapped_column(String(32))
    request_id: Mapped[str | None] = mapped_column(String(128))
    address: Mapped[str | None] = mapped_column(String(64))


class JobTotalRow(Base):
    """Totals of the ended jobs of one kind, algorithm and status, for the metrics (`app.services.job_totals`)."""

    __tablename__ = "job_total"

    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    algorithm: Mapped[str] = mapped_column(String(64), primary_key=True)
    status: Mapped[JobStatus] = mapped_column(String(16), primary_key=True)
    jobs: Mapped[int] = mapped_column(BigInteger, default=0, doc="Jobs that still exist.")
    seconds: Mapped[float] = mapped_column(default=0.0, doc="Sum of the durations of all jobs that ever started.")
    buckets: Mapped[list[Any]] = mapped_column(default=list, doc="Number of durations up to each bound, and of all.")
    rows: Mapped[int] = mapped_column(BigInteger, default=0, doc="Rows of all outputs.")


class FileDeletionRow(Base):
    """A file or folder whose rows were deleted, until it is removed from the storage (`app.services.file_deletions`)."""

    __tablename__ = "file_deletion"

    storage_key: Mapped[str] = mapped_column(String(255), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(default=db_now(), index=True)
