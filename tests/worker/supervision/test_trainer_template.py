"""Trainers that a template process forks."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.support.paths import ROOT
from tests.support.polling import wait_until
from tests.support.quick_settings import quick_settings
from worker.supervision.trainer_process import TrainerProcess
from worker.supervision.trainer_template import ForkedTrainer, TrainerTemplate, may_fork_trainers

Fork = Callable[[str], ForkedTrainer]


@pytest.fixture(scope="module")
def template() -> Iterator[TrainerTemplate]:
    with closing(TrainerTemplate(os.environ | {"PYTHONPATH": str(ROOT)})) as template:
        yield template


@pytest.fixture
def fork(template: TrainerTemplate, tmp_path: Path) -> Fork:
    def start(behaviour: str) -> ForkedTrainer:
        variables = {"PROBE": "set", "TMPDIR": str(tmp_path)}
        return template.fork("tests.support.template_probe", [behaviour], tmp_path, variables)

    return start


def test_forked_trainer_has_its_folder_environment_and_libraries(fork: Fork, template: TrainerTemplate, tmp_path: Path) -> None:
    with TrainerProcess(fork("report"), tmp_path) as trainer:
        assert trainer.exit_code() == 0
        facts = {"folder": str(tmp_path), "temporary": str(tmp_path), "variable": "set"}
        assert trainer.stderr_tail() == [f"{facts} True ['--supervisor', '{template.pid}']"]


def test_forked_trainer_prints_its_error_and_ends_with_its_code(fork: Fork, tmp_path: Path) -> None:
    with TrainerProcess(fork("exit"), tmp_path) as trainer:
        assert trainer.exit_code() == 75
    with TrainerProcess(fork("fail"), tmp_path) as trainer:
        assert trainer.exit_code() == 1
        assert trainer.stderr_tail()[-1] == "ValueError: a bug"


def test_forked_trainer_can_be_stopped_and_killed(fork: Fork, tmp_path: Path) -> None:
    for end, code in ((TrainerProcess.stop, -signal.SIGTERM), (TrainerProcess.kill, -signal.SIGKILL)):
        with TrainerProcess(running(fork), tmp_path) as trainer:
            assert trainer.is_running()
            end(trainer)
            assert trainer.exit_code() == code
            assert not trainer.is_running()


def running(fork: Fork) -> ForkedTrainer:
    forked = fork("sleep")
    wait_until(lambda: forked.poll() is None and forked.pid)
    return forked


def test_trainer_dies_with_its_template_which_starts_again(fork: Fork, template: TrainerTemplate, tmp_path: Path) -> None:
    forked = running(fork)
    process = psutil.Process(forked.pid)
    with TrainerProcess(forked, tmp_path) as trainer:
        os.kill(template.pid, signal.SIGKILL)
        assert trainer.exit_code() == -signal.SIGKILL
        psutil.wait_procs([process], 10)
        assert not process.is_running()
    with TrainerProcess(fork("exit"), tmp_path) as trainer:
        assert trainer.exit_code() == 75


def test_trainer_that_waits_for_its_template_can_be_stopped(tmp_path: Path) -> None:
    with closing(TrainerTemplate(os.environ | {"PYTHONPATH": str(ROOT)})) as template:
        forked = template.fork("tests.support.template_probe", ["sleep"], tmp_path, {})
        with TrainerProcess(forked, tmp_path) as trainer:
            with pytest.raises(subprocess.TimeoutExpired):
                forked.wait(0.01)
            trainer.stop()
            assert trainer.exit_code() == -signal.SIGTERM


def test_workers_with_a_gpu_or_several_processes_fork_no_trainers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("worker.supervision.trainer_template.GPU_FILES", (str(tmp_path / "no-driver"),))
    assert may_fork_trainers(quick_settings(preload=True))
    assert not may_fork_trainers(quick_settings(preload=True, train_processes=2))
    assert not may_fork_trainers(quick_settings(preload=False))
    monkeypatch.setattr("worker.supervision.trainer_template.GPU_FILES", (str(tmp_path),))
    assert not may_fork_trainers(quick_settings(preload=True))
    assert may_fork_trainers(quick_settings(preload=True, device="cpu"))
