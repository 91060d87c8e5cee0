"""The sweep requeues the jobs of dead workers and sends lost messages again, and nothing else."""

from uuid import UUID

from sqlalchemy.orm import Session, sessionmaker

from app.db.session import db_now
from app.db.tables import JobRow
from app.errors import ServiceUnavailable
from app.job_state import JobStatus
from tests.support.factories import make_job
from tests.support.list_queue import ListQueue
from worker.supervision.sweep import SuspensionGuard, sweep

Sessions = sessionmaker[Session]


class AbsentQueue(ListQueue):
    """An unreachable broker."""

    def send(self, job_id: UUID) -> None:
        raise ServiceUnavailable

    def depth(self) -> int:
        raise ServiceUnavailable


def test_job_with_an_expired_lease_is_requeued_and_sent(sessions: Sessions, queue: ListQueue) -> None:
    with sessions.begin() as session:
        job_id = make_job(session, status=JobStatus.RUNNING, lease_expires_at=db_now(-1)).id
    sweep(sessions, queue, resend_seconds=60)
    assert queue.sent == [job_id]
    with sessions() as session:
        assert session.get_one(JobRow, job_id).status is JobStatus.QUEUED


def test_sweep_that_was_suspended_takes_no_lease_away_for_two_heartbeats() -> None:
    now = [1000.0]
    guard = SuspensionGuard(lease_seconds=45, heartbeat_seconds=5, clock=lambda: now[0])
    allowed = []
    for step in (0, 10, 45, 46, 5, 4, 1, 10):
        now[0] += step
        allowed.append(guard.allows_reaping())
    assert allowed == [True, True, True, False, False, False, True, True]


def test_sweep_without_reaping_leaves_expired_leases_and_sends_lost_messages(sessions: Sessions, queue: ListQueue) -> None:
    with sessions.begin() as session:
        expired = make_job(session, status=JobStatus.RUNNING, lease_expires_at=db_now(-1)).id
        unsent = make_job(session, sent_at=db_now(-61)).id
    sweep(sessions, queue, resend_seconds=60, reap=False)
    assert queue.sent == [unsent]
    with sessions() as session:
        assert session.get_one(JobRow, expired).status is JobStatus.RUNNING


def test_job_with_a_lost_message_is_sent_again_once(sessions: Sessions, queue: ListQueue) -> None:
    with sessions.begin() as session:
        job_id = make_job(session, sent_at=db_now(-61)).id
        make_job(session, sent_at=db_now(-59))
        make_job(session, sent_at=db_now(-61), run_after=db_now(60))
    for _ in range(2):
        sweep(sessions, queue, resend_seconds=60)
    assert queue.sent == [job_id]


def test_messages_do_not_pile_up_while_no_worker_takes_them(sessions: Sessions, queue: ListQueue) -> None:
    with sessions.begin() as session:
        job_ids = {make_job(session, sent_at=db_now(-61)).id for _ in range(3)}
    for _ in range(5):
        sweep(sessions, queue, resend_seconds=0)
    assert set(queue.sent) == job_ids
    assert len(queue.sent) == 3


def test_job_is_not_marked_as_sent_during_a_broker_outage(sessions: Sessions, queue: ListQueue) -> None:
    with sessions.begin() as session:
        job_id = make_job(session, sent_at=db_now(-61)).id
    sweep(sessions, AbsentQueue(), resend_seconds=60)
    sweep(sessions, queue, resend_seconds=60)
    assert queue.sent == [job_id]
