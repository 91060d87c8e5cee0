"""`isthmus demo`, shortened, and what it leaves behind when it cannot go on."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from app import demo
from app.cli import main
from tests.servers import free_port


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_it_shows_both_accuracies_and_predictions_and_frees_its_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PARAMS", {"epochs": 1, "minimum_steps": 10})
    port = free_port()
    shown = CliRunner().invoke(main, ["demo", "--data", str(tmp_path / "demo"), "--port", str(port), "--seed", "3"])
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    for name in ("digits-fine-tune", "digits-dann"):
        accuracy, predictions = [line for line in lines if line.startswith(f"  {name}")]
        assert 0 < float(accuracy.split()[-1].rstrip("%")) <= 100
        assert len(predictions.split()) == 1 + 2 * demo.SHOWN
    assert sum("succeeded" in line for line in lines) == 2
    assert f"http://127.0.0.1:{port}/docs" in shown.output
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_service_that_does_not_start_is_explained_by_its_own_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTHMUS_LEASE_SECONDS", "-1")
    shown = CliRunner().invoke(main, ["demo", "--data", str(tmp_path / "demo"), "--port", str(free_port())])
    assert shown.exit_code == 1
    assert "The service did not start" in shown.output
    assert "ISTHMUS_LEASE_SECONDS" in shown.output
