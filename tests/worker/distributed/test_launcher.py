"""Jobs that several processes train, under a supervisor."""

from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from app.algorithms import PARAMS
from app.db.tables import JobRow, MetricRow, VersionRow
from app.job_state import JobStatus
from app.settings import Settings
from tests.support.brief_trainer import brief_supervisor
from tests.support.job_bench import CNN, FINE_TUNE, SMALL, Bench, digits
from tests.support.polling import wait_until
from tests.support.supervision import InThread, add_job, is_training, read_job, record_kill, request_cancel
from tests.support.supervision import supervisor as light_supervisor
from worker.supervision.attempt import Outcome
from worker.training.loop import REPORTS_PER_RUN

Sessions = sessionmaker[Session]
STEPS = 400


@pytest.fixture
def settings(worker_settings: Settings) -> Settings:
    return worker_settings.model_copy(
        update={"train_processes": 2, "train_threads": 1, "device": "cpu", "checkpoint_seconds": 0.05}
    )


def ranks() -> list[psutil.Process]:
    """Return the training processes of this test by rank."""
    alive = [child for child in psutil.Process().children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]
    return sorted((child for child in alive if "RANK" in child.environ()), key=lambda child: child.environ()["RANK"])


def test_job_fails_with_the_error_of_the_first_process(settings: Settings, worker_sessions: Sessions) -> None:
    job_id = add_job(worker_sessions, steps=100_000, step_seconds=0.01, ends="helper_out_of_gpu_memory")
    assert light_supervisor(settings, worker_sessions).run_job(job_id) is Outcome.FAILED
    job = read_job(worker_sessions, job_id)
    assert (job.status, job.attempt, job.error_code) == (JobStatus.FAILED, 1, "gpu_out_of_memory")
    assert job.error_message == "CUDA out of memory. Tried to allocate 2.00 GiB."
    assert ranks() == []


def test_killed_launcher_takes_all_processes_with_it(settings: Settings, worker_sessions: Sessions) -> None:
    job_id = add_job(worker_sessions, steps=100_000, step_seconds=0.01)
    record_kill(worker_sessions, job_id)
    run = InThread(light_supervisor(settings, worker_sessions), job_id)
    wait_until(is_training(worker_sessions, job_id))
    launcher = ranks()[0].parent()
    assert launcher is not None
    launcher.kill()
    assert run.join() is Outcome.FAILED
    assert read_job(worker_sessions, job_id).error_code == "trainer_killed"
    wait_until(lambda: not ranks())


def test_cancelled_job_ends_all_processes(settings: Settings, worker_sessions: Sessions) -> None:
    job_id = add_job(worker_sessions, steps=100_000, step_seconds=0.01)
    run = InThread(light_supervisor(settings, worker_sessions), job_id)
    wait_until(is_training(worker_sessions, job_id))
    request_cancel(worker_sessions, job_id)
    assert run.join() is Outcome.CANCELLED
    assert ranks() == []


def add_real_job(bench: Bench, steps: int, **fields: Any) -> UUID:
    params = FINE_TUNE | {"min_steps": steps, "epochs": 1}
    return bench.job(params, digits(bench, target=False, rows=200), base=CNN, **fields).id


def test_killed_process_ends_all_others(settings: Settings, worker_sessions: Sessions, tmp_path: Path) -> None:
    job_id = add_real_job(Bench(settings, worker_sessions, tmp_path), 100_000)
    record_kill(worker_sessions, job_id)
    run = InThread(brief_supervisor(settings, worker_sessions), job_id)
    wait_until(is_training(worker_sessions, job_id), 100)
    _, helper = ranks()
    helper.kill()
    assert run.join() is Outcome.FAILED
    assert read_job(worker_sessions, job_id).error_code == "trainer_killed"
    assert ranks() == []


def test_two_processes_stop_and_resume_together_to_a_version(
    settings: Settings, worker_sessions: Sessions, tmp_path: Path
) -> None:
    job_id = add_real_job(Bench(settings, worker_sessions, tmp_path), STEPS)
    training = is_training(worker_sessions, job_id)

    def draining() -> bool:
        return read_job(worker_sessions, job_id).attempt == 1 and training()

    assert brief_supervisor(settings, worker_sessions, draining).run_job(job_id) is Outcome.RELEASED
    job = read_job(worker_sessions, job_id)
    assert (job.status, job.attempt) == (JobStatus.QUEUED, 1)
    assert job.checkpoint is not None
    assert brief_supervisor(settings, worker_sessions).run_job(job_id) is Outcome.SUCCEEDED
    with worker_sessions() as session:
        version = session.scalars(select(VersionRow)).one()
        assert (version.attempt, version.metrics["steps"]) == (2, STEPS)
        steps = session.scalars(select(MetricRow.step).where(MetricRow.name == "classification")).all()
    reported = range(STEPS // REPORTS_PER_RUN, STEPS + 1, STEPS // REPORTS_PER_RUN)
    assert sorted(steps) == list(reported)  # one process reports, and each step once


def test_processes_of_a_search_agree_on_trial_owners(settings: Settings, worker_sessions: Sessions, tmp_path: Path) -> None:
    bench = Bench(settings, worker_sessions, tmp_path)
    values = {**SMALL, "epochs": 1, "min_steps": 30, "candidates": [{"algorithm": "mcc"}, {"algorithm": "adabn"}]}
    params = PARAMS["auto"].model_validate(values).model_dump(mode="json")
    source, target = digits(bench, target=False, rows=200), digits(bench, target=True, labelled=False, rows=200)
    job_id = bench.job(params, source, target, base=CNN).id
    assert brief_supervisor(settings, worker_sessions).run_job(job_id) is Outcome.SUCCEEDED
    with worker_sessions() as session:
        tried = session.scalars(select(VersionRow)).one().metrics["search"]
        trials = {child.trial: child.status for child in session.get_one(JobRow, job_id).trials}
    assert [line["error"] for line in tried] == [None] * 4
    assert set(trials) >= {"1-0-mcc", "1-1-adabn"}
    assert set(trials.values()) == {JobStatus.CANCELLED}  # no other worker was there
