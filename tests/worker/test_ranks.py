"""Jobs that several processes train, under a supervisor."""

import io
import signal
from pathlib import Path

import psutil
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from app.db.tables import VersionRow
from app.job_state import JobStatus
from app.settings import Settings
from tests.conftest import ListQueue
from tests.worker.test_adapt import CNN, DANN, Bench, digits
from tests.worker.test_supervisor import InThread, add_job, is_training, read_job, request_cancel, stored_files
from tests.worker.test_supervisor import supervisor as light_supervisor
from tests.worker.waiting import wait_until
from worker.supervisor import Outcome, Supervisor

Sessions = sessionmaker[Session]
HELPER = 1


@pytest.fixture
def settings(worker_settings: Settings) -> Settings:
    return worker_settings.model_copy(update={"train_processes": 2, "train_threads": 1, "device": "cpu", "checkpoint_seconds": 0})


def ranks() -> list[psutil.Process]:
    """The processes of this test that train, by rank."""
    alive = [child for child in psutil.Process().children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]
    return sorted((child for child in alive if "RANK" in child.environ()), key=lambda child: child.environ()["RANK"])


@pytest.mark.parametrize(
    ("ends", "code", "message"),
    [
        ("bad_data", "bad_data", "column `age`: no value can be used"),
        ("helper_out_of_gpu_memory", "gpu_out_of_memory", "CUDA out of memory. Tried to allocate 2.00 GiB."),
        ("helper_killed", "trainer_killed", "a smaller batch"),
    ],
)
def test_a_job_fails_as_the_first_of_its_processes_does(
    settings: Settings, worker_sessions: Sessions, ends: str, code: str, message: str
) -> None:
    job_id = add_job(worker_sessions, steps=100_000, step_seconds=0.01, ends=ends)
    assert light_supervisor(settings, worker_sessions).run_job(job_id) is Outcome.FAILED
    job = read_job(worker_sessions, job_id)
    assert (job.status, job.attempt, job.error_code) == (JobStatus.FAILED, 1, code)
    assert (job.error_message or "").startswith(message) or message in (job.error_message or "")
    assert ranks() == []


def test_who_starts_the_processes_is_killed_with_all_of_them(settings: Settings, worker_sessions: Sessions) -> None:
    job_id = add_job(worker_sessions, steps=100_000, step_seconds=0.01)
    run = InThread(light_supervisor(settings, worker_sessions), job_id)
    wait_until(is_training(worker_sessions, job_id))
    launcher = ranks()[0].parent()
    assert launcher is not None
    launcher.send_signal(signal.SIGKILL)
    assert run.join() is Outcome.FAILED
    assert read_job(worker_sessions, job_id).error_code == "trainer_killed"
    wait_until(lambda: not ranks())


def add_dann(settings: Settings, sessions: Sessions, folder: Path, steps: int) -> Bench:
    bench = Bench(settings, sessions, folder)
    params = DANN | {"minimum_steps": steps, "epochs": 1}
    bench.job(params, digits(bench, target=False, rows=200), digits(bench, target=True, labelled=False, rows=200), base=CNN)
    return bench


def test_two_processes_stop_together_and_go_on_together_to_a_version(
    settings: Settings, worker_sessions: Sessions, tmp_path: Path
) -> None:
    bench = Bench(settings, worker_sessions, tmp_path)
    source, target = digits(bench, target=False, rows=200), digits(bench, target=True, labelled=False, rows=200)
    job_id = bench.job(DANN | {"minimum_steps": 60, "epochs": 1}, source, target, base=CNN).id
    training = is_training(worker_sessions, job_id)

    def draining() -> bool:
        return read_job(worker_sessions, job_id).attempt == 1 and training()

    assert Supervisor(settings, worker_sessions, ListQueue(), draining).run_job(job_id) is Outcome.RELEASED
    job = read_job(worker_sessions, job_id)
    assert (job.status, job.attempt) == (JobStatus.QUEUED, 1)
    assert job.checkpoint is not None
    resumed = Supervisor(settings, worker_sessions, ListQueue(), lambda: False)
    assert resumed.run_job(job_id) is Outcome.SUCCEEDED
    with worker_sessions() as session:
        version = session.scalars(select(VersionRow)).one()
        assert (version.attempt, version.metrics["steps"]) == (2, 60)
