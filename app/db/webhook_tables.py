"""The tables of webhooks. A delivery is written in the transaction of its event and sent by a worker (`worker.webhooks`)."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db.session import db_now
from app.db.tables import Base, OfProject


class WebhookRow(OfProject, Base):
    """An address that receives events. The secret is stored as it is, since every delivery is signed with it."""

    __tablename__ = "webhook"
    __table_args__ = (Index("ix_webhook_page", "project", "created_at", "id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    url: Mapped[str] = mapped_column(String(2083))
    events: Mapped[list[Any]] = mapped_column(doc="Names of `app.services.webhook_events`.")
    secret: Mapped[str] = mapped_column(String(100))
    enabled: Mapped[bool] = mapped_column(default=True)
    failing_since: Mapped[datetime | None] = mapped_column(doc="The first failed attempt after the last accepted delivery.")
    created_at: Mapped[datetime] = mapped_column(default=db_now())
    updated_at: Mapped[datetime] = mapped_column(default=db_now(), onupdate=db_now())


class DeliveryRow(Base):
    """One event for one webhook. A worker that sends it holds a lease; an expired lease means that the worker died."""

    __tablename__ = "delivery"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'delivered', 'failed')", name="status"),
        CheckConstraint("(status = 'pending') = (finished_at IS NULL)", name="finished"),
        CheckConstraint("(lease_owner IS NULL) = (lease_expires_at IS NULL)", name="lease"),
        Index("ix_delivery_page", "webhook_id", "created_at", "id"),
        Index("ix_delivery_due", "status", "next_attempt_at"),
        Index("ix_delivery_finished_at", "finished_at"),
        Index("ix_delivery_lease", "webhook_id", "lease_expires_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    webhook_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("webhook.id", ondelete="CASCADE"))
    event: Mapped[str] = mapped_column(String(64))
    data: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(16), default="pending")
    attempts: Mapped[int] = mapped_column(default=0, doc="Since the event, or since the last request to deliver it again.")
    next_attempt_at: Mapped[datetime] = mapped_column(default=db_now())
    retry_until: Mapped[datetime]
    lease_owner: Mapped[str | None] = mapped_column(String(32))
    lease_expires_at: Mapped[datetime | None]
    response_status: Mapped[int | None] = mapped_column(doc="HTTP status of the last attempt; null without a response.")
    error: Mapped[str | None] = mapped_column(String(500), doc="Why the last attempt failed.")
    created_at: Mapped[datetime] = mapped_column(default=db_now())
    finished_at: Mapped[datetime | None]

    webhook: Mapped[WebhookRow] = relationship()
