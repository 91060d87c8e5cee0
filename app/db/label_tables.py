"""The tables of labels and of evaluations (`app.labels`, `app.services.label_requests`)."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db.session import db_now
from app.db.tables import Base, OfProject


class LabelRequestRow(OfProject, Base):
    """Rows of a version's target that a person labels. It outlives the version, because labels are expensive."""

    __tablename__ = "label_request"
    __table_args__ = (
        CheckConstraint("purpose IN ('accuracy', 'gain', 'both', 'improve')", name="purpose"),
        Index("ix_label_request_page", "project", "created_at", "id"),
        Index("ix_label_request_model", "project", "model_name", "version_number"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    model_name: Mapped[str] = mapped_column(String(100))
    version_number: Mapped[int]
    version_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("version.id", ondelete="SET NULL"), index=True, doc="Null once the version was deleted."
    )
    dataset_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("dataset.id"), index=True)
    purpose: Mapped[str] = mapped_column(String(16))
    seed: Mapped[int] = mapped_column(BigInteger)
    classes: Mapped[list[Any]]
    strata: Mapped[list[Any]] = mapped_column(doc="[{name, rows}]; a label's weight is the rows per label of its stratum.")
    total: Mapped[int] = mapped_column(BigInteger, doc="Rows that could be drawn, and those on which the models agree.")
    estimate: Mapped[float | None] = mapped_column(doc="Estimated accuracy of the version, to compare with the measured one.")
    created_at: Mapped[datetime] = mapped_column(default=db_now())
    updated_at: Mapped[datetime] = mapped_column(default=db_now(), onupdate=db_now())

    rows: Mapped[list["LabelRow"]] = relationship(order_by="LabelRow.position")


class LabelRow(Base):
    """One row to label, with what the models predict, which is not shown. Without label and `unclear` it is open."""

    __tablename__ = "label"
    __table_args__ = (
        CheckConstraint("NOT unclear OR label IS NULL", name="unclear"),
        UniqueConstraint("request_id", "row", name="uq_label_row"),
    )

    request_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("label_request.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    row: Mapped[int] = mapped_column(BigInteger, doc="Number of the row in the dataset, from 1.")
    stratum: Mapped[int]
    predicted: Mapped[str]
    source_only: Mapped[str | None]
    preview: Mapped[dict[str, Any]]
    label: Mapped[str | None]
    unclear: Mapped[bool] = mapped_column(default=False)
    answered_at: Mapped[datetime | None]


class EvaluationRow(OfProject, Base):
    """What an evaluation found out about one version."""

    __tablename__ = "evaluation"
    __table_args__ = (Index("ix_evaluation_version", "version_id", "created_at", "id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    version_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("version.id", ondelete="CASCADE"))
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("job.id", ondelete="SET NULL"), index=True)
    dataset_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("dataset.id"))
    metrics: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=db_now())
