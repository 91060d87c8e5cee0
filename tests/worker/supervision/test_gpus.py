"""Jobs of a worker at the same time. The check of GPUs (`benchmarks.gpu`) runs several jobs on a real one."""

import pytest

from app.settings import Settings
from worker.supervision import gpus


def test_worker_without_gpu_runs_one_job() -> None:
    assert gpus.jobs_at_once(Settings(_env_file=None, device="cpu", jobs_per_gpu=4)) == 1


def test_worker_with_gpu_runs_the_jobs_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "gpus", lambda: [{"name": "a GPU"}])
    assert gpus.jobs_at_once(Settings(_env_file=None, jobs_per_gpu=4)) == 4
    assert gpus.jobs_at_once(Settings(_env_file=None)) == 1
