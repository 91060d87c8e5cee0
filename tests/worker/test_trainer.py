"""The entry of the trainer process, on its own."""

import os
import subprocess
import sys
from uuid import uuid4

from sqlalchemy.orm import Session, sessionmaker

from app.job_state import JobStatus
from app.settings import Settings
from tests.support.factories import make_job
from tests.support.fake_trainer import FAKE_TRAINER
from worker.protocol.exit_codes import ExitCode
from worker.supervision.trainer_process import environment


def run_trainer(settings: Settings, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    settings.scratch_dir.mkdir(exist_ok=True)
    variables = os.environ | environment(settings)
    command = [sys.executable, "-m", FAKE_TRAINER, *map(str, arguments)]
    return subprocess.run(command, cwd=settings.scratch_dir, env=variables, capture_output=True, timeout=60, check=False)


def test_trainer_without_a_supervisor_does_nothing(worker_settings: Settings) -> None:
    assert run_trainer(worker_settings, uuid4(), 1, "--supervisor", 1).returncode == ExitCode.ORPHANED


def test_trainer_of_an_earlier_attempt_does_nothing(worker_settings: Settings, worker_sessions: sessionmaker[Session]) -> None:
    with worker_sessions.begin() as session:
        job_id = make_job(session, status=JobStatus.RUNNING, attempt=2).id
    assert run_trainer(worker_settings, job_id, 1).returncode == ExitCode.ORPHANED
    assert run_trainer(worker_settings, job_id, 2).returncode == ExitCode.DONE


def test_supervisor_imports_no_torch() -> None:
    code = "import sys, worker.tasks, worker.supervision.scheduler, worker.trainer; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
