"""Adaptations on 1,000 + 1,000 rows of 13 numbers."""

from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.jobs import data
from benchmarks.jobs.case import Case, Ended, adaptation
from tests.support.deployed_service import Client

ROWS = 1000


def _prepare(client: Client, folder: Path) -> dict[str, Any]:
    source = data.write(folder, "source", ROWS, target=False, labelled=True)
    target = data.write(folder, "target", ROWS, target=True, labelled=False)
    return {"source": client.upload(source, "source")["id"], "target": client.upload(target, "target")["id"]}


def _run(algorithm: str, client: Client, datasets: dict[str, Any]) -> Ended:
    fields = {"source": datasets["source"]} if algorithm == "source_only" else datasets
    params = {"algorithm": algorithm, "epochs": 20}
    return adaptation(client, params, model=algorithm.replace("_", "-"), **fields)


def _reference(folder: Path) -> list[str]:
    return ["train", str(folder / "source.csv"), str(folder / "target.csv")]


CASES = [
    Case("source_only", _prepare, partial(_run, "source_only"), _reference, max_seconds=1.2, max_ratio=1.0),
    Case("dann", _prepare, partial(_run, "dann"), _reference, max_seconds=3.0, max_ratio=2.0),
    Case("auto", _prepare, partial(_run, "auto"), _reference, max_seconds=8.0),
]
