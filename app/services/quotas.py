"""Quotas of a project, checked in the transaction that would exceed them.

The session of a caller knows the quotas (`QUOTAS` in `Session.info`). Sessions without them, such as those of workers, have none.
"""

from dataclasses import dataclass

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.db.encoder_tables import EncoderRow
from app.db.projects import PROJECT
from app.db.tables import DatasetRow, JobRow, OutputRow, VersionRow
from app.errors import QuotaExceeded
from app.job_state import JobStatus

QUOTAS = "quotas"


@dataclass(frozen=True, slots=True)
class Quotas:
    """Limits of each project; 0 means no limit."""

    queued_jobs: int
    stored_bytes: int


def check_queued_jobs(session: Session) -> None:
    """Raise QuotaExceeded if the project may not queue another job."""
    limit = _quotas(session).queued_jobs
    if limit:
        _lock_project(session)
        used = session.scalar(select(func.count(JobRow.id)).where(JobRow.status == JobStatus.QUEUED)) or 0
        _require(used + 1, limit, used, "queued jobs", "Wait until a job has started, or cancel one.")


def check_stored_bytes(session: Session, added: int = 0) -> None:
    """Raise QuotaExceeded if the project's files and `added` bytes exceed the quota."""
    limit = _quotas(session).stored_bytes
    if limit:
        _lock_project(session)
        used = stored_bytes(session)
        _require(used + added, limit, used, "stored bytes", "Delete datasets, encoders, versions or batch predictions.")


def stored_bytes(session: Session) -> int:
    """Return the size of the project's datasets, encoders, versions and outputs, also of models that the key does not show."""
    queries = (
        select(func.sum(DatasetRow.size_bytes)).where(DatasetRow.deleted_at.is_(None)),
        select(func.sum(EncoderRow.size_bytes)),
        select(func.sum(VersionRow.size_bytes)).join(JobRow, JobRow.id == VersionRow.job_id),
        select(func.sum(OutputRow.size_bytes)).join(JobRow, JobRow.id == OutputRow.job_id),
    )
    return sum(int(session.scalar(query) or 0) for query in queries)


def _quotas(session: Session) -> Quotas:
    return session.info.get(QUOTAS) or Quotas(queued_jobs=0, stored_bytes=0)


def _require(wanted: int, limit: int, used: int, what: str, remedy: str) -> None:
    if wanted > limit:
        raise QuotaExceeded(f"The project may have {limit} {what} and has {used}. {remedy}")


def _lock_project(session: Session) -> None:
    """Let no other transaction of this project count until this one ends. On SQLite there is one writer anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(hashtext(:project))"), {"project": session.info.get(PROJECT, "")})
