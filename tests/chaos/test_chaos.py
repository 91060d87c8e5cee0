"""Invariants under random faults: kills, stalls, drains and cancellations. Without the fence they break."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from app.broker.queue import CeleryQueue, make_celery
from app.db.session import SessionFactory, make_engine
from app.db.tables import JobRow
from app.job_state import ACTIVE, JobStatus
from app.job_types.trial import TRIAL
from app.settings import Settings
from tests.chaos.fault_injector import FaultInjector
from tests.chaos.invariants import resumptions, violations
from tests.support import servers
from tests.support.databases import create_postgres_database
from tests.support.factories import make_job
from tests.support.polling import wait_until
from tests.support.quick_settings import quick_settings
from tests.support.worker_pool import running_workers

Sessions = sessionmaker[Session]

ACTS = {
    "kill_worker": 3,
    "kill_supervisor": 3,
    "kill_trainer": 2,
    "drain_worker": 3,
    "stall_supervisor": 3,
    "stall_worker": 2,
    "cancel_job": 2,
}
LEASE_SECONDS = 3


@pytest.fixture
def server_settings(
    tmp_path: Path, postgres_server: str, redis_server: servers.RedisServer, database_name: str, worker_settings: Settings
) -> Settings:
    """Return settings with PostgreSQL and Redis."""
    url = create_postgres_database(postgres_server, database_name)
    urls = {"database_url": url, "broker_url": redis_server.url}
    return quick_settings(data_dir=tmp_path / "data", lease_seconds=LEASE_SECONDS, cancel_grace_seconds=3, **urls)


@pytest.fixture
def embedded_settings(worker_settings: Settings) -> Settings:
    """Return settings with SQLite and the filesystem broker."""
    return worker_settings.model_copy(update={"lease_seconds": LEASE_SECONDS, "cancel_grace_seconds": 3})


@contextmanager
def opened(settings: Settings) -> Iterator[Sessions]:
    engine = make_engine(settings.database)
    try:
        yield SessionFactory(engine)
    finally:
        engine.dispose()


def submit(settings: Settings, sessions: Sessions, seeds: range, steps: int = 200, trials: int = 0) -> None:
    """Submit jobs of about 20 ms per step, each with its own seed; the first `trials` of them have an equal trial."""
    queue = CeleryQueue(make_celery(settings))
    for seed in seeds:
        params = {"algorithm": "fine_tune", "steps": steps, "step_seconds": 0.02, "checkpoint_every": 10, "seed": seed}
        with sessions.begin() as session:
            job_ids: list[UUID] = [make_job(session, params=params, max_attempts=10).id]
            if seed - seeds.start < trials:
                child: dict[str, Any] = {"kind": TRIAL.name, "parent_id": job_ids[0], "trial": "1-0-mcc"}
                job_ids.append(make_job(session, params=params, max_attempts=10, **child).id)
        for job_id in job_ids:
            queue.send(job_id)


def all_ended(sessions: Sessions) -> bool:
    with sessions() as session:
        return not session.scalar(select(func.count()).select_from(JobRow).where(JobRow.status.in_(ACTIVE)))


def statuses(sessions: Sessions) -> list[JobStatus]:
    with sessions() as session:
        return list(session.scalars(select(JobRow.status)))


def chaos(settings: Settings, folder: Path, *, workers: int, jobs: int, seconds: float, unfenced: bool = False) -> list[str]:
    """Inject one stall, then random faults for `seconds`; wait for all jobs and return the violated invariants."""
    with opened(settings) as sessions, running_workers(settings, folder, workers, unfenced) as started:
        faults = FaultInjector(started, sessions, settings, seed=20160525)
        submit(settings, sessions, range(1), steps=500)  # both attempts must still train when the stalled one resumes
        faults.stall_until_claimed_again()
        submit(settings, sessions, range(1, jobs), trials=jobs // 4)
        faults.inject(seconds, pause_seconds=0.8, acts=ACTS)
        faults.wait_for_recovery()
        wait_until(lambda: all_ended(sessions), 100, "the end of all jobs")
        broken = violations(sessions)
        assert broken or was_eventful(faults, sessions, seconds), faults.done
        return broken


def was_eventful(faults: FaultInjector, sessions: Sessions, seconds: float) -> bool:
    """Return whether enough faults and enough successes occurred for a meaningful check."""
    return sum(faults.done.values()) > seconds / 3 and resumptions(sessions) > 0 and JobStatus.SUCCEEDED in statuses(sessions)


def test_invariants_hold_on_postgresql_and_redis(server_settings: Settings, tmp_path: Path) -> None:
    assert chaos(server_settings, tmp_path, workers=3, jobs=12, seconds=20) == []


def test_invariants_hold_on_sqlite_and_the_filesystem_broker(embedded_settings: Settings, tmp_path: Path) -> None:
    assert chaos(embedded_settings, tmp_path, workers=2, jobs=6, seconds=10) == []


def test_invariants_break_without_the_fence(server_settings: Settings, tmp_path: Path) -> None:
    broken = chaos(
        server_settings, tmp_path, workers=3, jobs=2, seconds=0, unfenced=True
    )  # the resumed supervisor must survive to write
    assert any("wrote the version" in breach or "after attempt" in breach for breach in broken), broken
