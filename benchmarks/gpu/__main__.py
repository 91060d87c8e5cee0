"""`python -m benchmarks.gpu [--small]`: see README.md."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from benchmarks.gpu import predictions, recovery, training
from benchmarks.gpu.scale import Scale, full, small
from benchmarks.gpu.service import Service, served
from benchmarks.gpu.table import Row, needs_cuda, render

COMPILE_SECONDS = 75
Check = Callable[[], Iterator[Row]]


def main() -> None:
    arguments = _arguments()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scale = small(device) if arguments.small or device == "cpu" else full(device)
    with tempfile.TemporaryDirectory() as folder:
        rows = _run(scale, Path(folder), arguments.checks)
    name = torch.cuda.get_device_name() if scale.has_gpu else "no GPU"
    sys.stdout.write(f"{name}, torch {torch.__version__}\n\n{render(rows)}\n")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps({"device": name, "rows": [asdict(row) for row in rows]}, indent=1))
    sys.exit(any(row.passed is False for row in rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="Check a machine with a GPU.")
    parser.add_argument("--small", action="store_true", help="Small sizes; always used without a GPU.")
    parser.add_argument("--checks", nargs="+", help="Names of the checks that run, as the log shows them; all by default.")
    parser.add_argument("--json", help="File for the rows as JSON.")
    return parser.parse_args()


def _run(scale: Scale, folder: Path, names: list[str] | None) -> list[Row]:
    began, rows = time.monotonic(), []
    with served(folder / "service", scale, jobs_per_gpu="2", train_threads="0" if scale.has_gpu else "1") as service:
        for name, check in _checks(service, folder).items():
            if names and name not in names:
                continue
            if time.monotonic() - began > scale.limit_seconds:
                rows.append(Row(name, "not run: out of time", False))
                continue
            sys.stderr.write(f"{time.monotonic() - began:.0f} s: {name}\n")
            rows += _guarded(name, check)
    rows.append(Row("duration", f"{time.monotonic() - began:.0f} s"))
    return rows


def _checks(service: Service, folder: Path) -> dict[str, Check]:
    return {
        "DANN": partial(training.precisions, service),
        "auto": partial(training.search, service),
        "pretrained encoder": partial(training.encoder, service),
        "two jobs on one GPU": partial(training.two_at_once, service),
        "the same job on CPU and GPU": partial(training.same_on_cpu, service, folder / "cpu"),
        "torch.compile and CUDA graphs": partial(_compiled, service.scale),
        "batch prediction": partial(predictions.batch_prediction, service),
        "predictions": partial(predictions.requests, service.scale, folder / "predictions"),
        "out of memory": partial(recovery.too_large_batch, service),
        "kill -9": partial(recovery.killed_trainer, service),
    }


def _guarded(name: str, check: Check) -> list[Row]:
    """Run a check; an error is a failed row, so that the other checks still run."""
    try:
        return list(check())
    except Exception as error:  # noqa: BLE001  # whatever it is, it belongs into the table
        return [Row(name, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}", False)]


def _compiled(scale: Scale) -> Iterator[Row]:
    """Compare steps with CUDA graphs and torch.compile to eager ones, in a process that ends after some time."""
    if not scale.has_gpu:
        yield needs_cuda("CUDA graphs")
        yield needs_cuda("torch.compile")
        return
    command = [sys.executable, "-m", "benchmarks.gpu.compiled"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False).stdout
    except subprocess.TimeoutExpired as error:
        output = (error.stdout or b"").decode()
    measured = [json.loads(line) for line in output.splitlines()]
    eager = {one["network"]: one.get("milliseconds") for one in measured if one["way"] == "eager"}
    for one in measured:
        cell = (
            one.get("error") or f"{one['milliseconds']:.2f} ms a step, {one['milliseconds'] / eager[one['network']]:.2f} x eager"
        )
        yield Row(f"{one['network']}, {one['way']}", cell)


if __name__ == "__main__":
    main()
