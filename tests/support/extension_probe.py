"""Probe of a copy of the tree with the toy extensions: `python -m tests.support.extension_probe FOLDER`.

It uploads volumes, adapts a network to them with a real trainer process, predicts, and prints the responses as JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from app.main import create_app
from app.settings import Settings
from tests.support.brief_trainer import BRIEF_TRAINER, shared_template
from tests.support.databases import migrate
from tests.support.factories import npz_bytes
from tests.support.list_queue import ListQueue
from worker.supervision.supervisor import Supervisor

ROWS, DEPTH, SIDE = 80, 4, 12
PARAMS = {
    "algorithm": "mean_difference",
    "validator": "margin",
    "epochs": 1,
    "min_steps": 60,
    "batch_size": 32,
    "learning_rate": 0.01,
    "augmentation": "none",
}
IMAGES = np.zeros((4, 8, 8), np.uint8)


def volumes(seed: int, shift: float) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return noisy waves (n, depth, height, width) and their class, the frequency."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, ROWS)
    steps = np.linspace(0, 6, SIDE) * (1 + 2 * labels[:, None, None, None])
    phases = random.uniform(0, 6, (ROWS, DEPTH, SIDE, 1)) + steps
    return (np.sin(phases) + shift + random.normal(0, 0.1, phases.shape)).astype(np.float32), labels


class Probe:
    """A client of the app, whose jobs run in this process's supervisor."""

    def __init__(self, client: TestClient, settings: Settings, queue: ListQueue) -> None:
        self._client, self._settings, self._queue = client, settings, queue
        sessions = client.app.state.sessions  # type: ignore[attr-defined]
        self._supervisor = Supervisor(settings, sessions, queue, trainer=BRIEF_TRAINER, template=shared_template())

    def request(self, method: str, url: str, **fields: Any) -> Any:
        response = self._client.request(method, url, **fields)
        if response.is_error:
            raise SystemExit(f"{method} {url}: {response.text}")
        return response.json()

    def names(self, url: str) -> list[str]:
        return [one["name"] for one in self.request("GET", url)["data"]]

    def upload(self, name: str, **arrays: NDArray[Any]) -> dict[str, Any]:
        """Upload an npz without naming its modality."""
        file = ("a.npz", npz_bytes(**arrays))
        dataset: dict[str, Any] = self.request("POST", "/datasets", data={"name": name}, files={"file": file})
        return dataset

    def run(self, url: str, **body: Any) -> dict[str, Any]:
        """Submit a job, run it to its end and return it."""
        job_id = self.request("POST", url, json=body)["id"]
        self._supervisor.run_job(self._queue.sent[-1])
        job: dict[str, Any] = self.request("GET", f"{url}/{job_id}")
        return job

    def report(self) -> dict[str, Any]:
        x, y = volumes(1, 0.0)
        moved, truth = volumes(2, 0.5)
        source, target = self.upload("source", x=x, y=y), self.upload("target", x=moved)
        job = self.run("/jobs", model="waves", source=source["id"], target=target["id"], params=PARAMS)
        predicted = self.request("POST", "/predict", json={"model": "waves", "inputs": moved.tolist()})
        labels = [one["label"] for one in predicted["predictions"]]
        labelled = self.upload("labelled", x=moved, y=truth)
        counted = self.run("/row-counts", model="waves", dataset=labelled["id"])
        document = self.request("GET", "/openapi.json")
        return {
            "algorithms": self.names("/algorithms"),
            "networks": self.names("/networks"),
            "schemas": list(document["components"]["schemas"]),
            "tags": [tag["name"] for tag in document["tags"]],
            "modalities": {"volumes": source["modality"], "images": self.upload("images", x=IMAGES)["modality"]},
            "job": job,
            "row_count": counted,
            "scrape": self._client.get("/metrics").text,
            "accuracy": float((np.array(labels) == truth.astype(str)).mean()),
            "metadata": self.request("GET", "/v2/models/waves"),
            "validators": list(self.request("GET", "/models/waves/versions/1")["metrics"]["validators"]),
        }


def main(folder: Path) -> None:
    settings = Settings(data_dir=folder, device="cpu", train_threads=1, _env_file=None)
    folder.mkdir(parents=True, exist_ok=True)
    migrate(settings.database)
    queue = ListQueue()
    with TestClient(create_app(settings, queue), "http://localhost") as client:
        report = Probe(client, settings, queue).report()
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
