"""Utilisation and memory of the GPU while a block runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread

from worker.supervision.gpus import gpus

INTERVAL_SECONDS = 0.2
GIGABYTE = 1024**3


def used_bytes() -> int:
    """Return the memory in use on all visible GPUs, 0 without any."""
    return sum(gpu["memory_used_bytes"] or 0 for gpu in gpus())


@dataclass(slots=True)
class Usage:
    """Samples of a block. `before` is the memory that was in use when it began."""

    before: int
    peak: int = 0
    utilisation: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        if not self.utilisation:
            return "GPU: needs CUDA"
        busy = sum(self.utilisation) / len(self.utilisation)
        return f"GPU {busy:.0%} busy, peak {(self.peak - self.before) / GIGABYTE:.2f} GiB"

    def sample(self) -> None:
        """Take one sample."""
        for gpu in gpus():
            self.utilisation.append(gpu["utilisation"] or 0.0)
        self.peak = max(self.peak, used_bytes())


@contextmanager
def measured_usage() -> Iterator[Usage]:
    """Sample the GPU in a thread until the block ends."""
    usage, ended = Usage(used_bytes()), Event()

    def run() -> None:
        while not ended.wait(INTERVAL_SECONDS):
            usage.sample()

    thread = Thread(target=run, daemon=True)
    thread.start()
    try:
        yield usage
    finally:
        ended.set()
        thread.join()
