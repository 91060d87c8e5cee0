"""The trainer as a child process."""

import sys
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from app.services.leases import Lease
from app.settings import Settings
from worker.supervision.trainer_process import SpawnedTrainer, TrainerProcess, environment


def test_temporary_files_are_made_in_the_run_folder(tmp_path: Path, worker_settings: Settings) -> None:
    command = [sys.executable, "-c", "import sys, tempfile; sys.stderr.write(tempfile.gettempdir())"]
    with TrainerProcess(SpawnedTrainer(command, Lease(uuid4(), 1, "owner"), tmp_path, worker_settings), tmp_path) as trainer:
        assert trainer.exit_code() == 0
        assert trainer.stderr_tail() == [str(tmp_path)]


def test_environment_overrides_the_settings_of_c_libraries(
    tmp_path: Path, worker_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "4096")
    names = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
    command = [sys.executable, "-c", f"import os, sys; sys.stderr.write(' '.join(os.environ[name] for name in {names}))"]
    with TrainerProcess(SpawnedTrainer(command, Lease(uuid4(), 1, "owner"), tmp_path, worker_settings), tmp_path) as trainer:
        assert trainer.exit_code() == 0
        assert trainer.stderr_tail() == [f"{2**30} 4096"]


def test_trainer_gets_all_settings_but_the_admin_key(worker_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"s3_secret_key": SecretStr("not-a-secret"), "admin_key": SecretStr("k" * 40)}
    given = worker_settings.model_copy(update=secrets | {"hosts": ("one.example", "*.two.example")})
    for settings in (given, worker_settings):
        monkeypatch.setenv("ISTHMUS_ADMIN_KEY", "k" * 40)
        for name, value in environment(settings).items():
            monkeypatch.setenv(name, value)
        assert Settings(_env_file=None) == settings.model_copy(update={"admin_key": None})
