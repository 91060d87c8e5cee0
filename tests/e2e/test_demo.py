"""A shortened `isthmus demo`, and its clean-up after a failure."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from app import demo
from app.cli import cli
from app.demo import images
from tests.support.forked_trainers import forked_trainers
from tests.support.servers import free_port


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_demo_shows_accuracies_and_predictions_and_frees_its_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PARAMS", {"epochs": 1, "min_steps": 10})
    monkeypatch.setattr(images, "make", partial(images.make, copies=1))
    port = free_port()
    shown = CliRunner().invoke(cli, ["demo", "--data", str(tmp_path / "demo"), "--port", str(port), "--seed", "3"])
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    for name in ("digits-fine-tune", "digits-dann"):
        accuracy, predictions = [line for line in lines if line.startswith(f"  {name}")]
        assert 0 < float(accuracy.split()[-1].rstrip("%")) <= 100
        assert len(predictions.split()) == 1 + 2 * demo.SHOWN + 2
    assert sum("succeeded" in line for line in lines) == 2
    assert f"http://127.0.0.1:{port}/" in shown.output
    with socket.create_server(("127.0.0.1", port)):
        pass


@pytest.fixture
def default_sighup() -> Iterator[None]:
    """Restore the default of SIGHUP: under nohup, child processes would inherit that it is ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("default_sighup")
@pytest.mark.parametrize(("number", "shown"), [(signal.SIGINT, "Uploading"), (signal.SIGHUP, " s left")])
def test_signal_ends_all_processes(number: signal.Signals, shown: str, tmp_path: Path) -> None:
    """The first signal arrives before the first job, the second during it."""
    port = str(free_port())
    demo = subprocess.Popen(
        [sys.executable, "-u", "-P", "-m", "app.cli", "demo", "--data", str(tmp_path / "demo"), "--port", port],
        env=os.environ | {"ISTHMUS_CANCEL_GRACE_SECONDS": "5"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with demo:
        assert demo.stdout is not None
        assert any(shown in line for line in demo.stdout)
        processes = psutil.Process(demo.pid).children(recursive=True)
        assert shown == "Uploading" or forked_trainers(psutil.Process(demo.pid))
        demo.send_signal(number)
        assert demo.wait(timeout=60) != 0
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert alive == []


def test_failed_start_shows_the_log_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTHMUS_LEASE_SECONDS", "-1")
    shown = CliRunner().invoke(cli, ["demo", "--data", str(tmp_path / "demo"), "--port", str(free_port())])
    assert shown.exit_code == 1
    assert "The service did not start" in shown.output
    assert "ISTHMUS_LEASE_SECONDS" in shown.output
