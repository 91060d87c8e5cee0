"""The whole service as an operator runs it: `isthmus api`, `worker` and `beat` as processes, and a client that talks HTTP."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.servers import free_port

JOB_LIMIT_SECONDS = 240


class Client:
    """The calls of a user."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=90)

    def upload(self, path: Path, name: str, **options: Any) -> dict[str, Any]:
        fields = {"name": name, **{key: value for key, value in options.items() if key == "modality"}}
        rest = {key: value for key, value in options.items() if key != "modality"}
        with path.open("rb") as file:
            answer = self.http.post("/datasets", data={**fields, "options": json.dumps(rest)}, files={"file": (path.name, file)})
        assert answer.status_code in (200, 201), answer.text
        dataset: dict[str, Any] = answer.json()
        return dataset

    def submit(self, **body: Any) -> dict[str, Any]:
        answer = self.http.post("/jobs", json=body)
        assert answer.status_code == 202, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def wait(self, job_id: str) -> dict[str, Any]:
        """Wait for the end of a job and return it."""
        deadline = time.monotonic() + JOB_LIMIT_SECONDS
        while time.monotonic() < deadline:
            job: dict[str, Any] = self.http.get(f"/jobs/{job_id}", params={"wait": 20}).json()
            if job["status"] in ("succeeded", "failed", "cancelled"):
                return job
        raise AssertionError(f"job {job_id} did not end: {job}")

    def run(self, **body: Any) -> dict[str, Any]:
        job = self.wait(self.submit(**body)["id"])
        assert job["status"] == "succeeded", job["error"]
        return job

    def version(self, job: dict[str, Any]) -> dict[str, Any]:
        reference = job["version"]
        answer = self.http.get(f"/models/{reference['model']}/versions/{reference['number']}")
        assert answer.status_code == 200, answer.text
        version: dict[str, Any] = answer.json()
        return version

    def predict(self, model: str, inputs: list[Any], **more: Any) -> list[dict[str, Any]]:
        answer = self.http.post("/predict", json={"model": model, "inputs": inputs, **more})
        assert answer.status_code == 200, answer.text
        predictions: list[dict[str, Any]] = answer.json()["predictions"]
        return predictions


@contextmanager
def running(environment: dict[str, str], folder: Path, workers: int = 1) -> Iterator[Client]:
    """Migrate, then serve until the block ends. Output of the processes goes to `folder`."""
    environment = {**os.environ, **environment}
    isthmus = [sys.executable, "-m", "app.cli"]
    subprocess.run([*isthmus, "migrate"], env=environment, check=True, capture_output=True)
    port = free_port()
    commands = [[*isthmus, "api", "--port", str(port)], [*isthmus, "beat"], *([[*isthmus, "worker"]] * workers)]
    processes = []
    try:
        for number, command in enumerate(commands):
            with (folder / f"{command[3]}-{number}.log").open("wb") as log:
                processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        client = Client(f"http://127.0.0.1:{port}")
        _wait_until_ready(client)
        yield client
        client.http.close()
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=60)


def _wait_until_ready(client: Client) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if client.http.get("/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the service did not get ready")
