"""From a job to a measured accuracy: real jobs on a small table, labels, an evaluation, and a job that learns labels.

The jobs run in this process, because each trainer process would import torch once more.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from app.main import create_app
from app.services import leases
from app.settings import Settings
from tests.support.distributed_trainer import brief_evaluations
from tests.support.factories import csv_bytes
from tests.support.list_queue import ListQueue
from tests.support.quick_settings import data_folder, quick_settings
from worker.data.attempt_context import AttemptContext
from worker.jobs import adaptation, evaluation
from worker.protocol.progress import ProgressReporter

ROWS = 160
PARAMS = {"algorithm": "standardized_logistic_regression"}


class Service:
    """A client of the app, and a worker that runs its jobs."""

    def __init__(self, client: TestClient, settings: Settings, folder: Path) -> None:
        self.client, self._settings, self._folder = client, settings, folder
        self._sessions: sessionmaker[Session] = client.app.state.sessions  # type: ignore[attr-defined]

    def send(self, method: str, url: str, **fields: Any) -> Any:
        response = self.client.request(method, url, **fields)
        assert response.is_success, response.text
        return response.json()

    def upload(self, name: str, header: list[str], rows: list[list[object]]) -> Any:
        return self.send("POST", "/datasets", data={"name": name}, files={"file": (f"{name}.csv", csv_bytes(header, rows))})

    def run(self, url: str, **body: Any) -> Any:
        job = self.send("POST", url, json=body)
        self._work(UUID(job["id"]))
        ended = self.send("GET", f"{url}/{job['id']}")
        assert ended["status"] == "succeeded", ended["error"]
        return ended

    def _work(self, job_id: UUID) -> None:
        with self._sessions.begin() as session:
            claimed = leases.claim(session, job_id, "worker-1", 60)
        assert claimed is not None
        lease, job = claimed
        folder = self._folder / str(job_id)
        folder.mkdir()
        reporter = ProgressReporter(io.StringIO())
        context = AttemptContext(job, self._settings, self._settings.open_storage(), self._sessions, folder, reporter)
        result = {"adaptation": adaptation.run, "evaluation": evaluation.run}[job.kind](context)
        with self._sessions.begin() as session:
            assert result is not None
            assert leases.finish(session, lease, result) is not None


@pytest.fixture
def service(tmp_path: Path, empty_sqlite: Path) -> Iterator[Service]:
    settings = quick_settings(data_dir=data_folder(tmp_path, empty_sqlite), device="cpu", train_threads=1)
    settings.scratch_dir.mkdir()
    with TestClient(create_app(settings, ListQueue())) as client, brief_evaluations():
        yield Service(client, settings, tmp_path)


def table(seed: int, shift: float) -> tuple[list[list[object]], list[str]]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, ROWS)
    values = random.normal(0, 1, (ROWS, 3)) + 1.5 * labels[:, None] + shift
    return [[round(float(value), 4) for value in row] for row in values], ["yes" if label else "no" for label in labels]


def test_labels_measure_a_version_and_teach_the_next_one(service: Service) -> None:
    header, (rows, labels), (moved, truth) = ["a", "b", "c"], table(0, 0), table(1, 1)
    source = service.upload("source", [*header, "label"], [[*row, label] for row, label in zip(rows, labels, strict=True)])
    target = service.upload("target", header, moved)
    service.run("/jobs", model="m", source=source["id"], target=target["id"], params=PARAMS)

    request = service.send("POST", "/models/m/versions/1/label-requests", json={"count": 20, "purpose": "accuracy"})
    answers = [{"row": row["row"], "label": truth[row["row"] - 1]} for row in request["rows"]]
    measured = service.send("PUT", f"/label-requests/{request['id']}/labels", json={"labels": answers})["measured"]
    assert measured["labels"] == 20
    everything = [[*row, label] for row, label in zip(moved, truth, strict=True)]
    labelled = service.upload("labelled", [*header, "label"], everything)
    evaluated = service.run("/evaluations", versions=["m:1"], dataset=labelled["id"])
    true = evaluated["results"][0]["accuracy"]
    assert evaluated["results"][0]["rows"] == ROWS
    assert abs(measured["accuracy"]["value"] - true["value"]) < 0.4  # rows are drawn at random
    version = service.send("GET", "/models/m/versions/1")
    assert version["measured"]["labels"] == measured
    assert version["measured"]["evaluation"]["accuracy"] == true

    improving = service.send("POST", "/models/m/versions/1/label-requests", json={"count": 30, "purpose": "improve"})
    answers = [{"row": row["row"], "label": truth[row["row"] - 1]} for row in improving["rows"]]
    service.send("PUT", f"/label-requests/{improving['id']}/labels", json={"labels": answers})
    held = service.send("POST", f"/label-requests/{request['id']}/dataset", json={"name": "held"})
    learning = PARAMS | {"use_target_labels": True}
    datasets = {"source": source["id"], "target": target["id"], "evaluation": held["id"]}
    job = service.run("/jobs", model="m", **datasets, params=learning)
    assert job["metrics"]["target_accuracy"] > 0
    again = service.send("POST", "/models/m/versions/2/label-requests", json={"count": 100, "purpose": "accuracy"})
    assert not {row["row"] for row in again["rows"]} & {row["row"] for row in improving["rows"]}
    both = service.run("/evaluations", versions=["m:1", "m:2"], dataset=labelled["id"])
    assert both["results"][1]["accuracy"]["value"] >= 0.75
    assert both["comparisons"][0]["better"] in ("first", "second", "unsure")
    assert len(service.send("GET", "/models/m/versions/1/evaluations")["data"]) == 2
