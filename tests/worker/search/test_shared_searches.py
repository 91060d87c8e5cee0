"""Searches whose trials run on several real workers, compared with one worker.

The trainers of trials measure the opposite of the search's bfloat16 decision (`tests.support.distributed_trainer`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from app.algorithms import PARAMS
from app.db.tables import EventRow, JobRow, VersionRow
from app.job_state import ENDED, JobStatus
from app.job_types.adaptation import ADAPTATION, AdaptationResult
from app.job_types.trial import TRIAL
from app.services import jobs
from app.settings import Settings
from tests.support import servers
from tests.support.distributed_trainer import brief_evaluations
from tests.support.job_bench import CNN, SMALL, Bench, digits
from tests.support.polling import wait_until
from tests.support.quick_settings import quick_settings
from tests.support.supervision import is_training, read_job, send_messages
from tests.support.worker_pool import Worker, running_workers

Sessions = sessionmaker[Session]
pytestmark = pytest.mark.timeout(600)
START_SECONDS = 150
"""Enough for a search and its first trial to start, one after the other, on a busy machine: both load all libraries."""
DIVERGING = {"algorithm": "dann", "optimizer": "sgd", "learning_rate": 10, "gradient_clip": 1e30}


@pytest.fixture
def settings(worker_settings: Settings, redis_server: servers.RedisServer, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings of workers that really train."""
    monkeypatch.setenv("TESTS_REAL_TRAINER", "1")
    training = {"device": "cpu", "train_threads": 1, "checkpoint_seconds": 0.2}
    return quick_settings(data_dir=worker_settings.data_dir, broker_url=redis_server.url, lease_seconds=5, **training)


@pytest.fixture
def bench(settings: Settings, worker_sessions: Sessions, tmp_path: Path) -> Iterator[Bench]:
    folder = tmp_path / "bench"
    folder.mkdir()
    with brief_evaluations():
        yield Bench(settings, worker_sessions, folder)


def make_search(bench: Bench, **values: Any) -> JobRow:
    params = PARAMS["auto"].model_validate({"algorithm": "auto", **SMALL, **values}).model_dump(mode="json")
    source, target = digits(bench, target=False), digits(bench, target=True, labelled=False)
    return bench.job(params, source, target, digits(bench, target=True, rows=400), base=CNN)


def trials_of(sessions: Sessions, search_id: UUID) -> list[JobRow]:
    with sessions() as session:
        return list(session.scalars(select(JobRow).where(JobRow.parent_id == search_id).order_by(JobRow.trial)))


def wait_for_the_end(bench: Bench, search_id: UUID) -> None:
    """Wait until the search and all its trials have ended; a trial that is cancelled while it starts takes a while."""

    def all_ended() -> bool:
        return {job.status for job in (read_job(bench.sessions, search_id), *trials_of(bench.sessions, search_id))} <= ENDED

    wait_until(all_ended, 240, "the end of the search and its trials")


def assert_found(bench: Bench, search_id: UUID, expected: AdaptationResult) -> None:
    """Check for the same table, choice and weights."""
    job = read_job(bench.sessions, search_id)
    assert job.status is JobStatus.SUCCEEDED, job.error_message
    with bench.sessions() as session:
        version = session.scalars(select(VersionRow).where(VersionRow.job_id == search_id)).one()
        digests = {file.name: file.digest for file in version.artifacts}
        assert session.scalar(select(VersionRow).where(VersionRow.job_id != search_id)) is None
    assert version.metrics == expected.metrics
    weights = "network.safetensors"
    assert digests[weights] == next(file.digest for file in expected.artifacts if file.name == weights)


def test_two_workers_give_the_result_of_one(bench: Bench, tmp_path: Path) -> None:
    candidates = [{"algorithm": "mcc"}, {"algorithm": "adabn"}, DIVERGING]
    job = make_search(bench, min_steps=120, candidates=candidates, budget={"trials": 4})
    expected = bench.run(job)
    with running_workers(bench.settings, tmp_path, workers=2):
        send_messages(bench.settings, job.id)
        wait_for_the_end(bench, job.id)
    assert_found(bench, job.id, expected)
    assert [(line["round"], bool(line["error"])) for line in expected.metrics["search"]] == [
        (0, False),
        (1, False),
        (1, False),
        (1, True),
        (2, False),
    ]
    children = trials_of(bench.sessions, job.id)
    assert [child.trial for child in children][:3] == ["1-0-mcc", "1-1-adabn", "1-2-dann"]
    assert len(children) == 4
    shared = [child for child in children if child.status in (JobStatus.SUCCEEDED, JobStatus.FAILED)]
    assert shared
    curves = read_job(bench.sessions, job.id).metrics
    assert all(any(name.startswith(f"{child.trial}_") for name in curves) for child in shared)


def working_on(bench: Bench, workers: list[Worker], job_id: UUID) -> Worker:
    """Return the worker whose trainer runs this job."""
    return next(worker for worker in workers if worker.trainer and str(job_id) in worker.trainer.cmdline())


def test_search_result_is_unchanged_by_a_killed_trial_worker(bench: Bench, tmp_path: Path) -> None:
    candidates = [{"algorithm": "mcc", "min_steps": 600}, {"algorithm": "dann"}]  # the first is hurt while it trains
    job = make_search(bench, min_steps=120, candidates=candidates, budget={"trials": 2})
    expected = bench.run(job)
    with running_workers(bench.settings, tmp_path, workers=2) as workers:
        send_messages(bench.settings, job.id)
        child = wait_until(
            lambda: next((one for one in trials_of(bench.sessions, job.id) if one.checkpoint), None), START_SECONDS
        )
        working_on(bench, workers, child.id).main.kill()
        wait_for_the_end(bench, job.id)
    assert_found(bench, job.id, expected)
    with bench.sessions() as session:
        kinds = session.scalars(select(EventRow.kind).where(EventRow.job_id == child.id).order_by(EventRow.id)).all()
    assert "requeued" in kinds
    assert kinds[-1] == "done"


def test_cancelled_search_leaves_no_running_trial(bench: Bench, tmp_path: Path) -> None:
    job = make_search(bench, min_steps=100_000)
    with running_workers(bench.settings, tmp_path, workers=2):
        send_messages(bench.settings, job.id)
        wait_until(lambda: any(is_training(bench.sessions, one.id)() for one in trials_of(bench.sessions, job.id)), START_SECONDS)
        with bench.sessions.begin() as session:
            jobs.cancel(session, job.id)
        queued_or_ended = {one.status for one in trials_of(bench.sessions, job.id)}
        assert JobStatus.QUEUED not in queued_or_ended
        everything = [job.id, *(one.id for one in trials_of(bench.sessions, job.id))]
        wait_until(lambda: {read_job(bench.sessions, id).status for id in everything} == {JobStatus.CANCELLED}, START_SECONDS)
    with bench.sessions() as session:
        assert {one.kind for one in session.scalars(select(JobRow))} == {ADAPTATION.name, TRIAL.name}
