"""SIGKILL of workers, supervisors and predictors during batch predictions: every row is output once."""

import random
import time
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from app.db.tables import EventRow
from app.job_state import ENDED, JobStatus
from app.services import batch_predictions
from app.settings import Settings
from app.storage import Storage
from tests.support import servers
from tests.support.batch_outputs import READERS, assert_answers, plain_probabilities, queue_prediction
from tests.support.factories import csv_bytes, write
from tests.support.polling import wait_until
from tests.support.published_models import Exported, export_network
from tests.support.quick_settings import quick_settings
from tests.support.supervision import InThread, read_job, send_messages, supervisor, trainers
from tests.support.worker_pool import Worker, running_workers
from worker.supervision.attempt import Outcome

Sessions = sessionmaker[Session]
CLASSES = ["no", "yes"]
ROWS, SEED = 4000, 4
KILLS = ("worker", "supervisor", "predictor", "worker", "predictor")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_network("tabular", CLASSES, tmp_path_factory.mktemp("version"))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write(tmp_path, "table.csv", csv_bytes(["age", "sex"], ((number % 97, "fm"[number % 2]) for number in range(ROWS))))


@pytest.fixture
def settings(worker_settings: Settings, redis_server: servers.RedisServer) -> Settings:
    """Return settings that store a part for every chunk."""
    times = {"lease_seconds": 3, "checkpoint_seconds": 0, "train_threads": 1, "device": "cpu"}
    return quick_settings(data_dir=worker_settings.data_dir, broker_url=redis_server.url, **times)


def completed(sessions: Sessions, job_id: UUID) -> float:
    job = read_job(sessions, job_id)
    assert job.status is not JobStatus.FAILED, job.error_message
    return float(job.metrics.get("completed", 0))


def kill(workers: list[Worker], victim: str, random_source: random.Random) -> None:
    """Kill this process of the busy worker at a random moment of the next half second."""
    busy = wait_until(lambda: next((worker for worker in workers if worker.is_alive() and worker.trainer), None), 60)
    time.sleep(random_source.uniform(0, 0.5))
    processes = {"worker": busy.main, "supervisor": busy.supervisor, "predictor": busy.trainer}
    process: psutil.Process | None = processes[victim]
    assert process is not None, "the process ended before it was killed"
    process.kill()
    process.wait(10)
    for worker in workers:
        worker.restart_if_dead()


def test_prediction_killed_five_times_outputs_every_row_once(
    settings: Settings,
    worker_sessions: Sessions,
    exported: Exported,
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TESTS_CHUNK_SECONDS", "0.1")
    storage, random_source = Storage(settings.storage), random.Random(SEED)
    job_id = queue_prediction(worker_sessions, storage, exported, table, output="csv", max_attempts=10)
    moments = sorted(random_source.sample(range(0, ROWS // 2), len(KILLS)))
    with running_workers(settings, tmp_path, workers=2) as workers:
        send_messages(settings, job_id)
        for victim, moment in zip(KILLS, moments, strict=True):
            wait_until(lambda: completed(worker_sessions, job_id) >= moment, 60, f"{moment} rows")  # noqa: B023
            kill(workers, victim, random_source)
        wait_until(lambda: read_job(worker_sessions, job_id).status in ENDED, 60, "the end")
        wait_until(lambda: len(storage.keys(f"jobs/{job_id}")) == 1, what="the parts to be removed")
    with worker_sessions() as session:
        job, output = batch_predictions.output(session, job_id)
        starts = session.scalars(select(EventRow).where(EventRow.job_id == job_id, EventRow.kind == "started")).all()
    assert (job.status, job.attempt) == (JobStatus.SUCCEEDED, len(KILLS) + 1)
    assert sum(start.data["resumed"] for start in starts) >= 3
    with storage.local(output.storage_key) as path:
        frame = READERS["csv"](path)
    assert_answers(frame, plain_probabilities(exported, table), CLASSES)
    assert (output.attempt, output.rows, job.metrics["completed"]) == (job.attempt, ROWS, ROWS)
    assert storage.keys(f"jobs/{job_id}") == [output.storage_key]


def test_predictor_killed_in_its_last_attempt_fails_the_prediction(
    settings: Settings, worker_sessions: Sessions, exported: Exported, table: Path
) -> None:
    job_id = queue_prediction(worker_sessions, Storage(settings.storage), exported, table, max_attempts=1)
    run = InThread(supervisor(settings, worker_sessions), job_id)
    wait_until(lambda: trainers(), what="a predictor")[0].kill()
    assert run.join() is Outcome.FAILED
    assert read_job(worker_sessions, job_id).error_code == "predictor_killed"


def test_cancelled_prediction_stops_and_deletes_its_files(
    settings: Settings, worker_sessions: Sessions, exported: Exported, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESTS_CHUNK_SECONDS", "0.1")
    storage = Storage(settings.storage)
    job_id = queue_prediction(worker_sessions, storage, exported, table)
    run = InThread(supervisor(settings, worker_sessions), job_id)
    wait_until(lambda: completed(worker_sessions, job_id) > 0, what="the first rows")
    with worker_sessions.begin() as session:
        assert batch_predictions.cancel(session, job_id).status is JobStatus.CANCELLING
    assert run.join() is Outcome.CANCELLED
    assert read_job(worker_sessions, job_id).status is JobStatus.CANCELLED
    assert storage.keys(f"jobs/{job_id}") == []
