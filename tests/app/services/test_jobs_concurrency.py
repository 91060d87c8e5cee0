"""Several connections at once: one wins, nobody overtakes, nothing is lost. Commits are real here."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, sessionmaker

from app.db.session import db_now
from app.db.tables import EventRow, JobRow, VersionRow
from app.job_state import JobStatus
from app.main import create_app
from app.schemas.trainer_messages import Report
from app.services import jobs, leases
from app.settings import Settings
from tests.support.factories import lease_of, make_dataset, make_job, make_result
from tests.support.list_queue import ListQueue

Answer = TypeVar("Answer")


def at_once(actions: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """Run the actions in as many threads, let go together; their answers in order."""
    barrier = threading.Barrier(len(actions))

    def run(action: Callable[[], Answer]) -> Answer:
        barrier.wait()
        return action()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(run, actions))


def kinds(sessions: sessionmaker[Session], job_id: UUID) -> list[str]:
    with sessions.begin() as session:
        return list(session.scalars(select(EventRow.kind).where(EventRow.job_id == job_id).order_by(EventRow.id)))


def test_of_many_workers_given_the_same_message_one_gets_the_job(live_sessions: sessionmaker[Session]) -> None:
    def claim(job_id: UUID, owner: str) -> bool:
        with live_sessions.begin() as session:
            return leases.claim(session, job_id, owner, 60) is not None

    for _ in range(10):
        with live_sessions.begin() as session:
            job_id = make_job(session).id
        won = at_once([lambda owner=f"worker-{n}": claim(job_id, owner) for n in range(4)])  # type: ignore[misc]  # noqa: B023
        assert sum(won) == 1
        assert kinds(live_sessions, job_id) == ["started"]


def test_jobs_that_end_at_once_number_their_versions_one_after_the_other(live_sessions: sessionmaker[Session]) -> None:
    with live_sessions.begin() as session:
        held = [lease_of(make_job(session, status=JobStatus.RUNNING, model_name="together")) for _ in range(6)]

    def succeed(lease: leases.Lease) -> int:
        with live_sessions.begin() as session:
            job = leases.finish(session, lease, make_result())
            assert job is not None
            assert job.version is not None
            return job.version.number

    numbers = at_once([lambda lease=lease: succeed(lease) for lease in held])  # type: ignore[misc]
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6]


def test_a_job_is_finished_once_however_many_say_so(live_sessions: sessionmaker[Session]) -> None:
    for _ in range(10):
        with live_sessions.begin() as session:
            lease = lease_of(make_job(session, status=JobStatus.RUNNING, model_name="once"))

        def succeed(lease: leases.Lease = lease) -> bool:
            with live_sessions.begin() as session:
                return leases.finish(session, lease, make_result()) is not None

        def fail(lease: leases.Lease = lease) -> bool:
            with live_sessions.begin() as session:
                return leases.fail(session, lease, "trainer_error", "It broke.")

        succeeded, failed = at_once([succeed, fail])
        assert succeeded != failed
        with live_sessions.begin() as session:
            versions = session.scalar(select(func.count()).select_from(VersionRow).where(VersionRow.job_id == lease.job_id))
        assert (versions, kinds(live_sessions, lease.job_id)) == (int(succeeded), ["done"])


def test_a_claim_and_a_cancellation_at_once_agree_on_what_happened(live_sessions: sessionmaker[Session]) -> None:
    for _ in range(15):
        with live_sessions.begin() as session:
            job_id = make_job(session).id

        def claim(job_id: UUID = job_id) -> str:
            with live_sessions.begin() as session:
                return "claimed" if leases.claim(session, job_id, "worker-1", 60) else "not claimed"

        def cancel(job_id: UUID = job_id) -> str:
            with live_sessions.begin() as session:
                return jobs.cancel(session, job_id).status

        told = at_once([claim, cancel])
        happened = kinds(live_sessions, job_id)
        assert (told, happened) in [
            (["claimed", "cancelling"], ["started", "cancelling"]),
            (["not claimed", "cancelled"], ["done"]),
        ]


def test_a_heartbeat_and_the_reaper_at_once_leave_one_owner(live_sessions: sessionmaker[Session]) -> None:
    for _ in range(10):
        with live_sessions.begin() as session:
            job = make_job(session, status=JobStatus.RUNNING)
            lease = lease_of(job)
            session.execute(update(JobRow).where(JobRow.id == job.id).values(lease_expires_at=db_now(-1)))

        def beat(lease: leases.Lease = lease) -> bool:
            with live_sessions.begin() as session:
                return leases.heartbeat(session, lease, 60, Report(progress=0.5)) is not None

        def reap(lease: leases.Lease = lease) -> bool:
            with live_sessions.begin() as session:
                return lease.job_id in leases.requeue_expired(session)

        alive, reaped = at_once([beat, reap])
        with live_sessions.begin() as session:
            status = session.scalars(select(JobRow.status).where(JobRow.id == lease.job_id)).one()
        happened = kinds(live_sessions, lease.job_id)
        assert (alive, reaped, status, happened) in [
            (True, False, JobStatus.RUNNING, ["progress"]),
            (False, True, JobStatus.QUEUED, ["requeued"]),
        ]


def test_reapers_share_the_work(live_sessions: sessionmaker[Session]) -> None:
    with live_sessions.begin() as session:
        wanted = {make_job(session, status=JobStatus.RUNNING).id for _ in range(20)}
        session.execute(update(JobRow).where(JobRow.id.in_(wanted)).values(lease_expires_at=db_now(-1)))

    def reap() -> list[UUID]:
        with live_sessions.begin() as session:
            return leases.requeue_expired(session)

    taken = [job_id for ids in at_once([reap] * 4) for job_id in ids if job_id in wanted]
    assert sorted(taken) == sorted(wanted)


def test_a_key_that_comes_several_times_at_once_makes_one_job(
    live_database: str, live_sessions: sessionmaker[Session], settings: Settings
) -> None:
    with live_sessions.begin() as session:
        source = str(make_dataset(session).id)
    queue = ListQueue()
    app = create_app(settings.model_copy(update={"database_url": live_database}), queue)
    body = {"model": "digits", "source": source, "params": {"algorithm": "fine_tune"}}
    with TestClient(app) as client:
        for key in ("first", "second", "third"):
            headers = {"Idempotency-Key": f"{source}-{key}"}
            answers = at_once([lambda headers=headers: client.post("/jobs", json=body, headers=headers)] * 5)  # type: ignore[misc]
            assert {answer.status_code for answer in answers} == {202}
            assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(queue.sent) == 3


def test_events_of_one_job_become_visible_in_the_order_of_their_ids(live_sessions: sessionmaker[Session]) -> None:
    with live_sessions.begin() as session:
        lease = lease_of(make_job(session, status=JobStatus.RUNNING))

    def beat(progress: float) -> None:
        with live_sessions.begin() as session:
            leases.heartbeat(session, lease, 60, Report(progress=progress))

    with ThreadPoolExecutor(1) as pool:
        with live_sessions.begin() as slow:
            leases.heartbeat(slow, lease, 60, Report(progress=0.1))
            later = pool.submit(beat, 0.2)
            with pytest.raises(TimeoutError):  # it has to wait for the row, before it can draw an id
                later.result(timeout=0.5)
        later.result()
    with live_sessions.begin() as session:
        query = select(EventRow.data).where(EventRow.job_id == lease.job_id).order_by(EventRow.id)
        assert [data["progress"] for data in session.scalars(query)] == [0.1, 0.2]
