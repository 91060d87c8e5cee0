"""The tables that workers write beside those of jobs: their heartbeats, and the last lines of their trainers."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.session import db_now
from app.db.tables import Base


class JobLogRow(Base):
    """The last lines that the trainer of the newest attempt wrote."""

    __tablename__ = "job_log"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int]
    lines: Mapped[list[Any]]
    updated_at: Mapped[datetime] = mapped_column(default=db_now(), onupdate=db_now())


class WorkerRow(Base):
    """A worker process that has sent a heartbeat. Its row is deleted some time after the last one."""

    __tablename__ = "worker"

    id: Mapped[str] = mapped_column(String(200), primary_key=True, doc="Host and process id, as in `JobRow.lease_owner`.")
    host: Mapped[str] = mapped_column(String(200))
    device: Mapped[dict[str, Any]] = mapped_column(doc="Device of jobs, cores, and each GPU with its utilisation and memory.")
    started_at: Mapped[datetime] = mapped_column(default=db_now())
    seen_at: Mapped[datetime] = mapped_column(default=db_now(), index=True)
