"""Another client: it sends one request after the other during an attack and measures them."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from time import perf_counter
from types import TracebackType
from typing import Self

from benchmarks.resilience.service import MODEL, Target

PROBES = ("live", "job", "predict")
PAUSE_SECONDS = 0.05
TIMEOUT_SECONDS = 60


@dataclass
class Latencies:
    """The latencies of one kind of request, and the number of requests without a response of status 200."""

    milliseconds: list[float] = field(default_factory=list)
    failed: int = 0


class Observer:
    """A client in a thread of its own, until the block ends."""

    def __init__(self, target: Target) -> None:
        self._target = target
        body = json.dumps({"model": MODEL, "inputs": [{"age": 30, "sex": "f"}]}).encode()
        self._requests: Mapping[str, tuple[str, str, bytes | None]] = {
            "live": ("GET", "/health/live", None),
            "job": ("GET", f"/jobs/{target.job_id}", None),
            "predict": ("POST", "/predict", body),
        }
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._observe)
        self.reset()

    def __enter__(self) -> Self:
        for probe in PROBES:  # loads the model
            self._measure(probe)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def reset(self) -> None:
        """Forget what was measured."""
        self._latencies = {probe: Latencies() for probe in PROBES}
        self.most_resident_bytes = 0

    def latencies(self) -> Mapping[str, Latencies]:
        """Return the latencies since `reset`."""
        return self._latencies

    def _observe(self) -> None:
        while not self._stop.wait(PAUSE_SECONDS):
            for probe in PROBES:
                self._measure(probe)
            self.most_resident_bytes = max(self.most_resident_bytes, self._target.resident_bytes())

    def _measure(self, probe: str) -> None:
        latencies, start = self._latencies[probe], perf_counter()
        if self._ask(*self._requests[probe]):
            latencies.milliseconds.append((perf_counter() - start) * 1000)
        else:
            latencies.failed += 1

    def _ask(self, method: str, path: str, body: bytes | None) -> bool:
        connection = HTTPConnection(*self._target.address, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            response.read()
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()
        return response.status == 200
