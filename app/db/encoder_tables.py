"""The table of uploaded encoders."""

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.session import db_now
from app.db.tables import Base, OfProject


class EncoderRow(OfProject, Base):
    """A pretrained encoder that a user has uploaded: a checkpoint as one zip file."""

    __tablename__ = "encoder"
    __table_args__ = (Index("uq_encoder_name", "project", "name", unique=True),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    name: Mapped[str] = mapped_column(String(100))
    modality: Mapped[str] = mapped_column(String(32))
    speed: Mapped[str] = mapped_column(String(16))
    licence: Mapped[str] = mapped_column(String(200))
    digest: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    storage_key: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(default=db_now())
