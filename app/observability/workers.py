"""The workers that have sent a heartbeat, and what each of them does."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.db.session import db_now
from app.db.tables import JobRow
from app.db.views import WorkerView
from app.db.worker_tables import WorkerRow
from app.job_state import LEASED

KEPT_SECONDS = 600
"""Time after the last heartbeat for which a worker is listed as lost."""


def beat(session: Session, worker_id: str, host: str, device: Mapping[str, Any]) -> None:
    """Record that a worker is alive, and delete those that were lost long ago."""
    row = session.get(WorkerRow, worker_id)
    if row is None:
        session.add(WorkerRow(id=worker_id, host=host, device=dict(device)))
    else:
        row.device, row.seen_at = dict(device), db_now()
    session.execute(delete(WorkerRow).where(WorkerRow.seen_at < db_now(-KEPT_SECONDS)))


def listed(session: Session, lost_seconds: float) -> Sequence[WorkerView]:
    """Return all workers by id, each with the job that it runs. One without a heartbeat for `lost_seconds` is lost."""
    query = select(WorkerRow, (WorkerRow.seen_at < db_now(-lost_seconds)).label("lost")).order_by(WorkerRow.id)
    leased: Any = JobRow.__table__.c  # the table, not the class: a worker is also busy with a job of another project
    owners = session.scalars(select(leased.lease_owner).where(leased.status.in_(LEASED)))
    busy = {_worker_of(owner) for owner in owners}
    visible = session.execute(select(JobRow.lease_owner, JobRow.id).where(JobRow.status.in_(LEASED)))
    jobs = {_worker_of(owner): job_id for owner, job_id in visible if owner}
    return [WorkerView(row, is_lost, row.id in busy, jobs.get(row.id)) for row, is_lost in session.execute(query)]


def _worker_of(owner: str) -> str:
    """Return the id of the worker that owns a lease: the owner without its random part."""
    return owner.rpartition(":")[0]
