"""The embedded service: start without servers, clean stop, and jobs that survive a restart."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from sklearn.datasets import load_digits

from tests.support.deployed_service import Client
from tests.support.embedded_service import Embedded, up
from tests.support.factories import npz_bytes, write
from tests.support.polling import wait_until

DEADLINE_SECONDS = 60


def digits_npz() -> bytes:
    digits = load_digits()
    return npz_bytes(x=(digits.images * 15).astype("uint8"), y=digits.target)


def lines_of(embedded: Embedded) -> list[dict[str, Any]]:
    """Return all log lines; every line is JSON, also those of libraries."""
    return [json.loads(line) for line in embedded.log.read_text().rpartition("\n")[0].splitlines()]


def logging_processes(embedded: Embedded) -> set[str]:
    return {line["process"] for line in lines_of(embedded)}


def statuses(client: Client) -> list[str]:
    return sorted(job["status"] for job in client.http.get("/jobs").json()["data"])


def wait_for(client: Client, job_id: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the job as soon as the condition holds, while it is not ended."""

    def matching() -> dict[str, Any] | None:
        job: dict[str, Any] = client.http.get(f"/jobs/{job_id}").json()
        assert job["status"] in ("queued", "running"), job
        return job if condition(job) else None

    return wait_until(matching, 2 * DEADLINE_SECONDS)


def test_service_is_ready_and_sigterm_ends_all_processes(tmp_path: Path) -> None:
    with up(tmp_path) as embedded:
        assert embedded.client.http.get("/health/ready").json() == {"database": "ok", "broker": "ok", "storage": "ok"}
        assert "swagger" in embedded.client.http.get("/docs").text.lower()
        wait_until(lambda: logging_processes(embedded) == {"up", "api", "beat", "worker-1"}, DEADLINE_SECONDS)
        processes = embedded.descendants()
        assert embedded.stop(signal.SIGTERM) == 0
        _, alive = psutil.wait_procs(processes, timeout=5)
        assert alive == []
    assert logging_processes(embedded) == {"up", "api", "beat", "worker-1"}  # all lines are complete


def test_ctrl_c_releases_the_jobs_of_both_workers(tmp_path: Path) -> None:
    source = write(tmp_path, "digits.npz", digits_npz())
    with up(tmp_path, workers=2, train_threads="1", heartbeat_seconds="0.5") as embedded:
        client = embedded.client
        dataset = client.upload(source, "digits", modality="image")["id"]
        params = {"algorithm": "fine_tune", "epochs": 200}
        for _ in range(3):
            client.submit(model="digits", source=dataset, base={"network": "cnn"}, params=params)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while statuses(client).count("running") < 2:
            assert time.monotonic() < deadline, statuses(client)
            time.sleep(0.1)
        assert statuses(client) == ["queued", "running", "running"]
        processes = embedded.descendants()
        assert embedded.stop(signal.SIGINT) == 0
        _, alive = psutil.wait_procs(processes, timeout=5)
        assert alive == []
    released = [line for line in lines_of(embedded) if line["event"] == "job.released"]
    assert {line["process"] for line in released} == {"worker-1", "worker-2"}
    assert len({line["job_id"] for line in released}) == 2


def test_job_resumes_after_a_restart_of_the_service(tmp_path: Path) -> None:
    source = write(tmp_path, "digits.npz", digits_npz())
    with up(tmp_path, train_threads="1", heartbeat_seconds="0.5") as embedded:
        client = embedded.client
        dataset = client.upload(source, "digits", modality="image")["id"]
        params = {"algorithm": "fine_tune", "epochs": 200}
        job = client.submit(model="digits", source=dataset, base={"network": "cnn"}, params=params)["id"]
        before = wait_for(client, job, lambda state: state["progress"] > 0)
        assert embedded.stop() == 0
    with up(tmp_path, train_threads="1", heartbeat_seconds="0.5") as embedded:
        after = wait_for(embedded.client, job, lambda state: state["attempt"] == 2 and state["progress"] >= before["progress"])
        assert (after["status"], after["error"], after["attempt"]) == ("running", None, 2)
        table = json.loads((tmp_path / "data" / "broker" / "control" / "celery.pidbox.exchange").read_text())
        assert len(table) == 1  # only the running worker
        embedded.client.http.post(f"/jobs/{job}/cancel").raise_for_status()
        assert embedded.client.wait(job)["status"] == "cancelled"
