"""The embedded service as a whole: it starts with nothing installed, ends without leftovers, and its jobs survive that."""

import json
import signal
from pathlib import Path

import psutil
import pytest
from sklearn.datasets import load_digits

from tests.e2e.embedded import up
from tests.factories import npz_bytes, write

DEADLINE_SECONDS = 60


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_a_signal_ends_all_of_it(number: signal.Signals, tmp_path: Path) -> None:
    with up(tmp_path) as embedded:
        assert embedded.client.http.get("/health/ready").json() == {"database": "ok", "broker": "ok", "storage": "ok"}
        assert "swagger" in embedded.client.http.get("/docs").text.lower()
        processes = embedded.descendants()
        assert embedded.stop(number) == 0
        _, alive = psutil.wait_procs(processes, timeout=5)
        assert alive == []
    lines = [json.loads(line) for line in embedded.log.read_text().splitlines() if line.startswith("{")]
    assert {"up", "api", "beat", "worker-1"} <= {line["process"] for line in lines}


def test_when_one_process_dies_the_whole_ends_with_an_error(tmp_path: Path) -> None:
    with up(tmp_path) as embedded:
        processes = embedded.descendants()
        api = next(process for process in processes if process.cmdline()[-4:-3] == ["--host"])
        api.kill()
        assert embedded.process.wait(timeout=DEADLINE_SECONDS) != 0
        _, alive = psutil.wait_procs(processes, timeout=5)
        assert alive == []


def test_a_job_goes_on_where_it_was_when_the_service_comes_back(tmp_path: Path) -> None:
    digits = load_digits()
    pictures = (digits.images * 15).astype("uint8")
    source = write(tmp_path, "digits.npz", npz_bytes(x=pictures, y=digits.target))
    with up(tmp_path, train_threads="1", heartbeat_seconds="0.5") as embedded:
        client = embedded.client
        dataset = client.upload(source, "digits", modality="image")["id"]
        params = {"algorithm": "fine_tune", "epochs": 200}
        job = client.submit(model="digits", source=dataset, base={"network": "cnn"}, params=params)["id"]
        while (before := client.http.get(f"/jobs/{job}", params={"wait": 20}).json())["progress"] == 0:
            assert before["status"] in ("queued", "running"), before
        assert embedded.stop() == 0
    with up(tmp_path, train_threads="1", heartbeat_seconds="0.5") as embedded:
        while (after := embedded.client.http.get(f"/jobs/{job}", params={"wait": 20}).json())["attempt"] < 2:
            assert after["status"] in ("queued", "running"), after
        assert after["status"] == "running"
        assert after["error"] is None
        while after["progress"] < before["progress"]:
            after = embedded.client.http.get(f"/jobs/{job}", params={"wait": 20}).json()
        assert after["attempt"] == 2
        embedded.client.http.post(f"/jobs/{job}/cancel").raise_for_status()
        assert embedded.client.wait(job)["status"] == "cancelled"
