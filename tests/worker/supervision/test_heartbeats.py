"""Heartbeats of workers, and how the API lists them."""

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.db.session import db_now
from app.db.worker_tables import WorkerRow
from app.job_state import JobStatus
from app.observability import workers
from app.schemas.workers import WorkerOut
from app.settings import Settings
from tests.support.factories import make_job
from tests.support.supervision import Sessions
from worker.supervision.heartbeats import Heartbeats, own_id


def listed(session: Session) -> WorkerOut:
    return WorkerOut.of(*workers.listed(session, lost_seconds=45))


def test_worker_is_idle_busy_and_lost(worker_settings: Settings, worker_sessions: Sessions) -> None:
    heartbeats = Heartbeats(lambda: worker_sessions, worker_settings)
    heartbeats.send()
    heartbeats.send()
    with worker_sessions.begin() as session:
        worker = listed(session)
        assert (worker.id, worker.state, worker.job, worker.device.kind) == (own_id(), "idle", None, "cpu")
        job = make_job(session, status=JobStatus.RUNNING, lease_owner=f"{own_id()}:a1")
        assert (listed(session).state, listed(session).job) == ("busy", job.id)
        session.execute(update(WorkerRow).values(seen_at=db_now(-60)))
        assert listed(session).state == "lost"
