"""Concurrent writes to jobs from several connections, with real commits."""

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

Result = TypeVar("Result")


def run_concurrently(actions: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run each action in a thread, all starting together, and return the results in order."""
    barrier = threading.Barrier(len(actions))

    def run(action: Callable[[], Result]) -> Result:
        barrier.wait()
        return action()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(run, actions))


def kinds(sessions: sessionmaker[Session], job_id: UUID) -> list[str]:
    with sessions.begin() as session:
        return list(session.scalars(select(EventRow.kind).where(EventRow.job_id == job_id).order_by(EventRow.id)))


def test_concurrent_claims_give_the_job_to_one_worker(live_sessions: sessionmaker[Session]) -> None:
    def claim(job_id: UUID, owner: str) -> bool:
        with live_sessions.begin() as session:
            return leases.claim(session, job_id, owner, 60) is not None

    for _ in range(10):
        with live_sessions.begin() as session:
            job_id = make_job(session).id
        won = run_concurrently([lambda owner=f"worker-{n}": claim(job_id, owner) for n in range(4)])  # type: ignore[misc]  # noqa: B023
        assert sum(won) == 1
        assert kinds(live_sessions, job_id) == ["started"]


def test_concurrent_finishes_number_versions_consecutively(live_sessions: sessionmaker[Session]) -> None:
    with live_sessions.begin() as session:
        jobs_leases = [lease_of(make_job(session, status=JobStatus.RUNNING, model_name="together")) for _ in range(6)]

    def succeed(lease: leases.Lease) -> int:
        with live_sessions.begin() as session:
            job = leases.finish(session, lease, make_result())
            assert job is not None
            assert job.version is not None
            return job.version.number

    numbers = run_concurrently([lambda lease=lease: succeed(lease) for lease in jobs_leases])  # type: ignore[misc]
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6]


def test_concurrent_finish_and_fail_end_a_job_once(live_sessions: sessionmaker[Session]) -> None:
    for _ in range(10):
        with live_sessions.begin() as session:
            lease = lease_of(make_job(session, status=JobStatus.RUNNING, model_name="once"))

        def succeed(lease: leases.Lease = lease) -> bool:
            with live_sessions.begin() as session:
                return leases.finish(session, lease, make_result()) is not None

        def fail(lease: leases.Lease = lease) -> bool:
            with live_sessions.begin() as session:
                return leases.fail(session, lease, "trainer_error", "It broke.")

        succeeded, failed = run_concurrently([succeed, fail])
        assert succeeded != failed
        with live_sessions.begin() as session:
            versions = session.scalar(select(func.count()).select_from(VersionRow).where(VersionRow.job_id == lease.job_id))
        assert (versions, kinds(live_sessions, lease.job_id)) == (int(succeeded), ["done"])


def test_concurrent_claim_and_cancel_are_consistent(live_sessions: sessionmaker[Session]) -> None:
    for _ in range(15):
        with live_sessions.begin() as session:
            job_id = make_job(session).id

        def claim(job_id: UUID = job_id) -> str:
            with live_sessions.begin() as session:
                return "claimed" if leases.claim(session, job_id, "worker-1", 60) else "not claimed"

        def cancel(job_id: UUID = job_id) -> str:
            with live_sessions.begin() as session:
                return jobs.cancel(session, job_id).status

        results = run_concurrently([claim, cancel])
        events = kinds(live_sessions, job_id)
        assert (results, events) in [
            (["claimed", "cancelling"], ["started", "cancelling"]),
            (["not claimed", "cancelled"], ["done"]),
        ]


def test_concurrent_heartbeat_and_expiry_leave_one_owner(live_sessions: sessionmaker[Session]) -> None:
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

        alive, reaped = run_concurrently([beat, reap])
        with live_sessions.begin() as session:
            status = session.scalars(select(JobRow.status).where(JobRow.id == lease.job_id)).one()
        events = kinds(live_sessions, lease.job_id)
        assert (alive, reaped, status, events) in [
            (True, False, JobStatus.RUNNING, ["progress"]),
            (False, True, JobStatus.QUEUED, ["requeued"]),
        ]


def test_concurrent_sweeps_requeue_each_job_once(live_sessions: sessionmaker[Session]) -> None:
    with live_sessions.begin() as session:
        expired = {make_job(session, status=JobStatus.RUNNING).id for _ in range(20)}
        session.execute(update(JobRow).where(JobRow.id.in_(expired)).values(lease_expires_at=db_now(-1)))

    def reap() -> list[UUID]:
        with live_sessions.begin() as session:
            return leases.requeue_expired(session)

    taken = [job_id for ids in run_concurrently([reap] * 4) for job_id in ids if job_id in expired]
    assert sorted(taken) == sorted(expired)


def test_concurrent_requests_with_one_key_make_one_job(
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
            responses = run_concurrently([lambda headers=headers: client.post("/jobs", json=body, headers=headers)] * 5)  # type: ignore[misc]
            assert {response.status_code for response in responses} == {202}
            assert len({response.json()["id"] for response in responses}) == 1
    assert len(queue.sent) == 3


def test_events_of_a_job_become_visible_in_id_order(live_sessions: sessionmaker[Session]) -> None:
    with live_sessions.begin() as session:
        lease = lease_of(make_job(session, status=JobStatus.RUNNING))

    def beat(progress: float) -> None:
        with live_sessions.begin() as session:
            leases.heartbeat(session, lease, 60, Report(progress=progress))

    with ThreadPoolExecutor(1) as pool:
        with live_sessions.begin() as slow:
            leases.heartbeat(slow, lease, 60, Report(progress=0.1))
            later = pool.submit(beat, 0.2)
            with pytest.raises(TimeoutError):  # it waits for the row lock before it gets an id
                later.result(timeout=0.5)
        later.result()
    with live_sessions.begin() as session:
        query = select(EventRow.data).where(EventRow.job_id == lease.job_id).order_by(EventRow.id)
        assert [data["progress"] for data in session.scalars(query)] == [0.1, 0.2]
