"""What is left of a service after a process was killed."""

from collections.abc import Sequence
from time import perf_counter

import psutil

LIMIT_SECONDS = 20


def all_ended(processes: Sequence[psutil.Process]) -> str:
    """Return how long the processes took to end, and how many are left after the limit."""
    start = perf_counter()
    _, alive = psutil.wait_procs(processes, timeout=LIMIT_SECONDS)
    left = [process for process in alive if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    if left:
        return f"{len(left)} of {len(processes)} processes left after {LIMIT_SECONDS} s"
    return f"all {len(processes)} processes ended after {perf_counter() - start:.1f} s"
