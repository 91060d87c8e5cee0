"""The GPUs that this process may use, read from the driver without torch."""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pynvml

from app.settings import Settings


def gpus() -> list[dict[str, Any]]:
    """Return name, utilisation and memory of each visible GPU; none without a driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [_describe(handle) for handle in _visible()]
    finally:
        pynvml.nvmlShutdown()


def jobs_at_once(settings: Settings) -> int:
    """Return the number of jobs that a worker runs at the same time: more than one only on a GPU."""
    return settings.jobs_per_gpu if settings.jobs_per_gpu > 1 and settings.device != "cpu" and gpus() else 1


def _visible() -> Iterator[Any]:
    """Yield the handles of the devices in `CUDA_VISIBLE_DEVICES`, or of all."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    numbers = range(pynvml.nvmlDeviceGetCount()) if named is None else filter(None, map(str.strip, named.split(",")))
    for number in numbers:
        with suppress(pynvml.NVMLError):
            is_uuid = isinstance(number, str) and not number.isdecimal()
            yield pynvml.nvmlDeviceGetHandleByUUID(number) if is_uuid else pynvml.nvmlDeviceGetHandleByIndex(int(number))


def _describe(handle: Any) -> dict[str, Any]:
    described: dict[str, Any] = {"name": _text(pynvml.nvmlDeviceGetName(handle))}
    described |= {"utilisation": None, "memory_used_bytes": None, "memory_total_bytes": None}
    with suppress(pynvml.NVMLError):  # not every device reports it
        described["utilisation"] = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
    with suppress(pynvml.NVMLError):
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        described |= {"memory_used_bytes": int(memory.used), "memory_total_bytes": int(memory.total)}
    return described


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
