"""Predictions on the device: batch predictions through the service, and requests with and without dynamic batching."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from app.serving.onnx_session import supports
from benchmarks.gpu.scale import Scale
from benchmarks.gpu.service import Service
from benchmarks.gpu.table import Row
from benchmarks.phases import phases
from benchmarks.serving import store, subjects
from benchmarks.serving.client import Connection
from benchmarks.serving.dialects import ISTHMUS
from benchmarks.serving.servers import Machine, Running, StartError, isthmus, running

MODES = {"without batching": 1, "with dynamic batching": 64}


def batch_prediction(service: Service) -> Iterator[Row]:
    """Predict the whole target in one job."""
    body = {"model": "dann-float32", "dataset": service.datasets["target"]}
    answer = service.client.http.post("/batch-predictions", json=body)
    answer.raise_for_status()
    job: dict[str, Any] = answer.json()
    while job["status"] not in ("succeeded", "failed", "cancelled"):
        job = service.client.http.get(f"/batch-predictions/{job['id']}", params={"wait": 20}).json()
    counts, seconds = job["counts"], phases(service.client.http, "batch-predictions", job)
    measured = (
        f"{counts['completed']} rows, {sum(seconds.values()):.1f} s, of which predicting {seconds.get('predicting', 0):.2f} s"
    )
    yield Row("batch prediction", measured, job["status"] == "succeeded" and counts["completed"] == counts["total"])


def requests(scale: Scale, folder: Path) -> Iterator[Row]:
    """Measure requests per second and the 99th percentile by connections, with and without batching."""
    if scale.has_gpu and not supports("cuda"):
        yield Row("predictions", "ONNX Runtime has no CUDA provider: install onnxruntime-gpu", False)
        return
    subject = (subjects.image if scale.has_gpu else subjects.lenet)(folder / "exported")
    data = folder / "data"
    store.fill(data, [(subject.name, subject)])
    machine = Machine(folder, None, 0)
    request = ISTHMUS["binary"].ask(subject, 1)
    for name, max_batch in MODES.items():
        server = isthmus(data, predict_device=scale.device, predict_max_batch=max_batch, predict_inline_max_us=0)
        try:
            with running(server, machine) as started:
                yield _measured(f"predictions {name}", started, request.raw(started.port), scale)
        except StartError as error:
            yield Row(f"predictions {name}", str(error).replace("\n", " ")[-300:], False)


def _measured(name: str, server: Running, request: bytes, scale: Scale) -> Row:
    asyncio.run(_load(server.port, request, 8, scale.load_seconds))  # load the version, warm up
    cells, failed = [], 0
    for connections in scale.connections:
        seconds, errors = asyncio.run(_load(server.port, request, connections, scale.load_seconds))
        failed += errors
        rate, p99 = len(seconds) / scale.load_seconds, 1e3 * float(np.percentile(seconds, 99))
        cells.append(f"{connections} connections {rate:.0f}/s, p99 {p99:.1f} ms")
    # a version that cannot run on the device of the settings is refused, so every response came from there
    return Row(name, "; ".join(cells), failed == 0)


async def _load(port: int, request: bytes, connections: int, seconds: float) -> tuple[list[float], int]:
    """Send requests one after the other on each connection; return the seconds of the served ones and count the others."""
    served: list[float] = []
    failed = 0
    end = time.monotonic() + seconds

    async def send() -> None:
        nonlocal failed
        _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
        while (began := time.monotonic()) < end:
            status, _ = await connection.ask(request)
            if status == 200:
                served.append(time.monotonic() - began)
            else:
                failed += 1
        connection.close()

    await asyncio.gather(*(send() for _ in range(connections)))
    return served, failed
