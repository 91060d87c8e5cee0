"""Failures on the device: a batch that does not fit, and a trainer that is killed."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from benchmarks.gpu.monitor import GIGABYTE, used_bytes
from benchmarks.gpu.service import Service
from benchmarks.gpu.table import Row, needs_cuda
from tests.support.forked_trainers import forked_trainers
from tests.support.polling import wait_until

FREE_BYTES = 4 * GIGABYTE
"""GPU memory that the ballast leaves to the job that asks for too much."""
TOO_LARGE = {"batch_size": 4096}
TOO_LARGE_NETWORK = {"network": "resnet", "input_size": 96}
BALLAST = """
import sys, torch
free, _ = torch.cuda.mem_get_info()
held = torch.empty(max(0, free - int(sys.argv[1])), dtype=torch.uint8, device="cuda")
print("ready", flush=True)
sys.stdin.read()
"""
TOLERANCE_BYTES = GIGABYTE // 4


def too_large_batch(service: Service) -> Iterator[Row]:
    """Train with a batch for which there is not enough memory. On a CPU, the unit tests of trials do the same."""
    if not service.scale.has_gpu:
        yield needs_cuda("out of memory")
        return
    params = {"algorithm": "source_only", "epochs": 1, "min_steps": 1, "precision": "float32", **TOO_LARGE}
    with _ballast():
        trained = service.train("too-large", params, base=TOO_LARGE_NETWORK)
    reduced = [warning["message"] for warning in trained.metrics["warnings"] if warning["code"] == "batch_size_reduced"]
    outcome = reduced[0].partition(", so ")[2].partition(". ")[0] if reduced else "the batch was not too large"
    yield Row("out of memory", f"batch of {params['batch_size']}: {outcome}", bool(reduced))


@contextmanager
def _ballast() -> Iterator[None]:
    """Hold all of the GPU's memory but a little until the block ends."""
    command = [sys.executable, "-c", BALLAST, str(FREE_BYTES)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n", "the ballast did not fit on the GPU"
        yield
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        process.stdout.close()


def killed_trainer(service: Service) -> Iterator[Row]:
    """Kill a trainer in the middle of its training: its memory is free again, and the job gets another attempt."""
    before = used_bytes()
    params = {"algorithm": "dann", "epochs": 1, "min_steps": 1_000_000}
    job_id = service.submit("killed", params)["id"]

    def job() -> dict[str, object]:
        answer: dict[str, object] = service.client.http.get(f"/jobs/{job_id}").json()
        return answer

    wait_until(lambda: job()["phase"] in ("source-only", "training"), 60, "the training")
    held = used_bytes() - before
    for trainer in _trainers(service):
        trainer.send_signal(signal.SIGKILL)
        trainer.wait(timeout=10)
    wait_until(lambda: used_bytes() - before <= TOLERANCE_BYTES, 5, "free memory")  # the next attempt needs longer to start
    left = used_bytes() - before
    wait_until(lambda: job()["attempt"] == 2, 60, "the next attempt")
    service.client.http.post(f"/jobs/{job_id}/cancel").raise_for_status()
    service.client.wait(job_id)
    memory = (
        f"{held / GIGABYTE:.2f} GiB held before, {left / GIGABYTE:.2f} after" if service.scale.has_gpu else "memory: needs CUDA"
    )
    yield Row("kill -9 of the trainer", f"attempt 2 followed; {memory}", True)


def _trainers(service: Service) -> list[psutil.Process]:
    """Return the trainers below the service, whether a template forked them or a worker started them."""
    root = psutil.Process(service.embedded.process.pid)
    started = [child for child in root.children(recursive=True) if "worker.trainer" in child.cmdline()]
    return started or forked_trainers(root)
