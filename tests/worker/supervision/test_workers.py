"""Jobs on real Celery workers, beat and broker while processes start, stop and die."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from app.broker.queue import RUN_JOB, CeleryQueue, make_celery
from app.db.session import SessionFactory, db_now
from app.db.tables import EventRow, JobRow, VersionRow
from app.job_state import JobStatus
from app.settings import Settings
from tests.support import servers
from tests.support.factories import make_job
from tests.support.fake_trainer import learned
from tests.support.polling import wait_until
from tests.support.quick_settings import quick_settings
from tests.support.supervision import add_job, is_training, read_job, send_messages
from tests.support.worker_pool import BEAT, Worker, running_workers, start

Sessions = sessionmaker[Session]


@pytest.fixture
def redis_settings(worker_settings: Settings, redis_server: servers.RedisServer) -> Settings:
    return quick_settings(data_dir=worker_settings.data_dir, broker_url=redis_server.url, lease_seconds=5)


@pytest.fixture(params=["redis", "filesystem"])
def settings(request: pytest.FixtureRequest, worker_settings: Settings) -> Settings:
    """Return the settings of each broker."""
    if request.param == "redis":
        redis_settings: Settings = request.getfixturevalue("redis_settings")
        return redis_settings
    return quick_settings(data_dir=worker_settings.data_dir, lease_seconds=5)


@pytest.fixture
def workers(settings: Settings, tmp_path: Path) -> Iterator[list[Worker]]:
    with running_workers(settings, tmp_path, workers=2) as started:
        yield started


def has_status(sessions: Sessions, job_id: UUID, status: JobStatus) -> bool:
    return read_job(sessions, job_id).status is status


def running_worker(workers: list[Worker]) -> Worker:
    return wait_until(lambda: next((worker for worker in workers if worker.trainer), None), what="a trainer")


def test_messages_that_make_no_sense_do_not_hurt_a_worker(
    settings: Settings, worker_sessions: Sessions, workers: list[Worker]
) -> None:
    celery = make_celery(settings)
    for arguments in (["nonsense"], [None], [{"a": 1}], [], [1, 2, 3], [str(uuid4())]):
        celery.send_task(RUN_JOB, args=arguments)
    celery.send_task("isthmus.no_such_task")
    job_id = add_job(worker_sessions)
    send_messages(settings, job_id, job_id, job_id)
    wait_until(lambda: has_status(worker_sessions, job_id, JobStatus.SUCCEEDED))
    assert all(worker.is_alive() for worker in workers)
    with worker_sessions() as session:
        starts = session.scalars(select(EventRow).where(EventRow.kind == "started")).all()
    assert len(starts) == 1


def test_suspended_machine_costs_no_attempt(worker_settings: Settings, worker_sessions: Sessions, tmp_path: Path) -> None:
    settings = quick_settings(data_dir=worker_settings.data_dir, lease_seconds=6, heartbeat_seconds=0.3, sweep_seconds=0.3)
    job_id = add_job(worker_sessions, max_attempts=1, steps=1000, step_seconds=0.01, checkpoint_every=10_000)
    with running_workers(settings, tmp_path, workers=1) as workers:
        send_messages(settings, job_id)
        wait_until(is_training(worker_sessions, job_id, checkpoint=False), 60)
        suspended = [*workers[0].family(), *beats_of_this_test()]
        assert len(suspended) >= 4  # worker, supervisor, trainer and beat; libraries may start helpers of their own
        for process in suspended:
            process.suspend()
        wait_until(lambda: lease_has_expired_by(worker_sessions, job_id, seconds=1))
        for process in reversed(suspended):  # beat wakes first
            process.resume()
        wait_until(lambda: has_status(worker_sessions, job_id, JobStatus.SUCCEEDED), 90)
    assert read_job(worker_sessions, job_id).attempt == 1
    assert "sweep.late" in (tmp_path / "beat.log").read_text()


def beats_of_this_test() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "beat" in child.cmdline()]


def lease_has_expired_by(sessions: Sessions, job_id: UUID, seconds: float) -> bool:
    assert isinstance(sessions, SessionFactory)
    with sessions.for_reading() as session:  # a suspended process may hold the write lock
        expired = JobRow.lease_expires_at < db_now(-seconds)
        return session.scalars(select(JobRow.id).where(JobRow.id == job_id, expired)).one_or_none() is not None


def test_job_of_a_stopped_worker_is_resumed_by_another(
    settings: Settings, worker_sessions: Sessions, workers: list[Worker]
) -> None:
    job_id = add_job(worker_sessions, max_attempts=1, steps=400, step_seconds=0.01)
    send_messages(settings, job_id)
    wait_until(is_training(worker_sessions, job_id))
    stopped = running_worker(workers)
    stopped.terminate()
    assert stopped.wait() == 0
    wait_until(lambda: has_status(worker_sessions, job_id, JobStatus.SUCCEEDED))
    assert_resumed(worker_sessions, job_id, learned(400))


def assert_resumed(sessions: Sessions, job_id: UUID, total: float) -> None:
    with sessions() as session:
        version = session.scalars(select(VersionRow).where(VersionRow.job_id == job_id)).one()
    assert version.attempt == 2
    assert version.manifest["metrics"]["started_at_step"] > 0
    assert version.manifest["metrics"]["total"] == pytest.approx(total)


def test_trainer_dies_with_its_supervisor_and_the_job_resumes(
    redis_settings: Settings, worker_sessions: Sessions, tmp_path: Path
) -> None:
    job_id = add_job(worker_sessions, steps=400, step_seconds=0.01)
    with running_workers(redis_settings, tmp_path, workers=2) as workers:
        send_messages(redis_settings, job_id)
        wait_until(is_training(worker_sessions, job_id))
        victim = running_worker(workers)
        trainer = victim.trainer
        assert trainer is not None
        victim.main.kill()
        psutil.wait_procs([trainer], 5)
        assert not trainer.is_running()
        wait_until(lambda: has_status(worker_sessions, job_id, JobStatus.SUCCEEDED))
    assert_resumed(worker_sessions, job_id, learned(400))


def test_restarting_redis_with_jobs_queued_loses_none(
    redis_settings: Settings, redis_server: servers.RedisServer, worker_sessions: Sessions, tmp_path: Path
) -> None:
    queue = CeleryQueue(make_celery(redis_settings))
    first = [add_job(worker_sessions) for _ in range(3)]
    for job_id in first:
        queue.send(job_id)
    redis_server.stop()
    redis_server.start()
    assert queue.depth() == 3
    second = [add_job(worker_sessions, steps=100, step_seconds=0.01) for _ in range(3)]
    with running_workers(redis_settings, tmp_path, workers=2):
        for job_id in second:
            queue.send(job_id)  # over a connection that the restart has cut
        wait_until(lambda: any(has_status(worker_sessions, job_id, JobStatus.RUNNING) for job_id in [*first, *second]))
        redis_server.stop()
        redis_server.start()
        for job_id in [*first, *second]:
            wait_until(partial(has_status, worker_sessions, job_id, JobStatus.SUCCEEDED), 60)
    with worker_sessions() as session:
        assert set(session.scalars(select(JobRow.attempt))) == {1}


def test_jobs_of_dead_workers_are_requeued_while_others_are_busy(
    redis_settings: Settings, worker_sessions: Sessions, tmp_path: Path
) -> None:
    work = {"steps": 100_000, "step_seconds": 0.01, "checkpoint_every": 100_000}
    long, lost = (add_job(worker_sessions, max_attempts=1, **work) for _ in range(2))
    with running_workers(redis_settings, tmp_path, workers=2) as workers:
        send_messages(redis_settings, long, lost)
        wait_until(lambda: all(is_training(worker_sessions, job_id, checkpoint=False)() for job_id in (long, lost)))
        workers[0].end()
        wait_until(lambda: {JobStatus.FAILED, JobStatus.RUNNING} == {read_job(worker_sessions, id).status for id in (long, lost)})
    failed = next(job for job in (read_job(worker_sessions, id) for id in (long, lost)) if job.status is JobStatus.FAILED)
    assert failed.error_code == "worker_lost"


def test_beat_sweeps_without_a_broker(worker_settings: Settings, worker_sessions: Sessions, tmp_path: Path) -> None:
    settings = quick_settings(data_dir=worker_settings.data_dir, broker_url="redis://127.0.0.1:1/0")
    with worker_sessions.begin() as session:
        job_id = make_job(session, status=JobStatus.RUNNING, lease_expires_at=db_now(-1)).id
    beat = start(BEAT, settings, tmp_path / "beat.log")
    try:
        wait_until(lambda: has_status(worker_sessions, job_id, JobStatus.QUEUED))
    finally:
        beat.terminate()
    assert beat.wait(10) == 0
