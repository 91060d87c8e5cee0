"""The trainer as a child process."""

import sys
from pathlib import Path
from uuid import uuid4

import pytest

from app.services.leases import Lease
from app.settings import Settings
from worker.supervision.trainer_process import TrainerProcess


def test_temporary_files_are_made_in_the_run_folder(tmp_path: Path, worker_settings: Settings) -> None:
    command = [sys.executable, "-c", "import sys, tempfile; sys.stderr.write(tempfile.gettempdir())"]
    with TrainerProcess(command, Lease(uuid4(), 1, "owner"), tmp_path, worker_settings) as trainer:
        assert trainer.exit_code() == 0
        assert trainer.stderr_tail() == [str(tmp_path)]


def test_environment_overrides_the_allocator_settings_of_the_trainer(
    tmp_path: Path, worker_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "4096")
    names = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
    command = [sys.executable, "-c", f"import os, sys; sys.stderr.write(' '.join(os.environ[name] for name in {names}))"]
    with TrainerProcess(command, Lease(uuid4(), 1, "owner"), tmp_path, worker_settings) as trainer:
        assert trainer.exit_code() == 0
        assert trainer.stderr_tail() == [f"{2**30} 4096"]
