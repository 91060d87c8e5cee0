"""The batch prediction of 100,000 rows of 13 numbers."""

from pathlib import Path
from typing import Any

from benchmarks.jobs import data
from benchmarks.jobs.case import Case, Ended
from tests.support.deployed_service import Client

ROWS = 100_000
ENDED = ("succeeded", "failed", "cancelled")


def _prepare(client: Client, folder: Path) -> dict[str, Any]:
    source = client.upload(data.write(folder, "source", 1000, target=False, labelled=True), "source")["id"]
    table = client.upload(data.write(folder, "table", ROWS, target=True, labelled=False), "table")["id"]
    client.run(model="predicting", source=source, params={"algorithm": "source_only", "epochs": 1})
    return {"model": "predicting", "dataset": table}


def _run(client: Client, body: dict[str, Any]) -> Ended:
    answer = client.http.post("/batch-predictions", json=body)
    answer.raise_for_status()
    job: dict[str, Any] = answer.json()
    while job["status"] not in ENDED:
        job = client.http.get(f"/batch-predictions/{job['id']}", params={"wait": 20}).json()
    assert job["status"] == "succeeded", job["error"]
    return Ended("batch-predictions", job)


def _reference(folder: Path) -> list[str]:
    return ["predict", str(folder / "source.csv"), str(folder / "table.csv"), str(folder / "output.parquet")]


CASES = [Case("batch_prediction", _prepare, _run, _reference, max_seconds=0.7)]
