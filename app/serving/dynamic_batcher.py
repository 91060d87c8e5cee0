"""The queue in front of one version: bounded in size and time; it batches waiting requests if that is faster.

A request starts at once while a thread is free, unless `batch_delay_us` is set. Requests that arrive while all threads are busy
go into the next run together.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from app.errors import Overloaded
from app.modalities.base import Encoded
from app.serving.loaded_model import row_count
from app.serving.queue_delay_limiter import QueueDelayLimiter

Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """The limits of one version's queue. `max_batch` counts rows; with 1, requests are not batched."""

    concurrency: int = 1
    max_batch: int = 1
    batch_delay_us: float = 0
    max_queue_size: int = 256
    queue_timeout_seconds: float = 5.0
    max_queue_delay_seconds: float = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class QueuedRequest:
    """A request in the queue. `unbatched` requests run alone."""

    encoded: Encoded
    rows: int
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    result: "asyncio.Future[Logits]"
    queued_at: float
    unbatched: bool = False


class DynamicBatcher:
    """The queue of one version in one event loop. `run` maps encoded inputs (n, ...) to logits (n, classes) in a thread."""

    def __init__(self, run: Callable[[Encoded], Logits], threads: Executor, policy: QueuePolicy) -> None:
        self._run, self._threads, self._policy = run, threads, policy
        self._waiting: deque[QueuedRequest] = deque()
        self._running = 0
        self._limiter = QueueDelayLimiter(policy.max_queue_delay_seconds)
        self._timer: asyncio.TimerHandle | None = None

    def submit(self, encoded: Encoded) -> "asyncio.Future[Logits]":
        """Queue a request; cancel its future to leave the queue. Raise Overloaded."""
        self.check()
        result = asyncio.get_running_loop().create_future()
        rows = row_count(encoded)
        shapes = tuple((name, values.shape[1:]) for name, values in encoded.items())
        self._waiting.append(QueuedRequest(encoded, rows, shapes, result, monotonic()))
        self._start()
        return result

    def check(self) -> None:
        """Raise Overloaded if the queue is full or its first request has waited too long."""
        if len(self._waiting) >= self._policy.max_queue_size:
            raise Overloaded
        if self._waiting:
            self._limiter.check(monotonic() - self._waiting[0].queued_at)

    def _start(self) -> None:
        while self._waiting and self._running < self._policy.concurrency:
            if self._policy.batch_delay_us and self._waits_for_more():
                return
            batch = self._next_batch()
            if batch:
                self._running += 1
                done = asyncio.get_running_loop().run_in_executor(self._threads, self._run, _concatenate(batch))
                done.add_done_callback(partial(self._finish, batch))

    def _waits_for_more(self) -> bool:
        """Return whether the batch is not full and its first request may wait for others."""
        due = self._waiting[0].queued_at + self._policy.batch_delay_us / 1e6
        left = due - monotonic()
        if left <= 0 or _rows(self._waiting) >= self._policy.max_batch:
            return False
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(left, self._delay_over)
        return True

    def _delay_over(self) -> None:
        self._timer = None
        self._start()

    def _next_batch(self) -> list[QueuedRequest]:
        """Remove the next batch from the queue. Drop cancelled requests and reject those that waited too long."""
        batch: list[QueuedRequest] = []
        rows, oldest = 0, monotonic() - self._policy.queue_timeout_seconds
        while self._waiting:
            first = self._waiting[0]
            if first.result.done():
                self._waiting.popleft()
            elif first.queued_at < oldest:
                self._waiting.popleft().result.set_exception(
                    Overloaded("The request waited too long in the queue of the model. Try again later.")
                )
            elif not batch or (rows + first.rows <= self._policy.max_batch and _batchable(batch[0], first)):
                batch.append(self._waiting.popleft())
                rows += first.rows
            else:
                break
        return batch

    def _finish(self, batch: list[QueuedRequest], completed: "asyncio.Future[Logits]") -> None:
        self._running -= 1
        error = completed.exception()
        if error is not None and len(batch) > 1:  # run each request alone to find the one that fails
            self._waiting.extendleft(replace(request, unbatched=True) for request in reversed(batch))
            self._start()
            return
        start = 0
        for request in batch:
            if request.result.done():
                pass
            elif error is not None:
                request.result.set_exception(error)
            else:
                request.result.set_result(completed.result()[start : start + request.rows])
            start += request.rows
        self._start()


def _batchable(first: QueuedRequest, other: QueuedRequest) -> bool:
    return first.shapes == other.shapes and not first.unbatched and not other.unbatched


def _rows(requests: Iterable[QueuedRequest]) -> int:
    return sum(request.rows for request in requests)


def _concatenate(batch: list[QueuedRequest]) -> Encoded:
    if len(batch) == 1:
        return batch[0].encoded
    return {name: np.concatenate([request.encoded[name] for request in batch]) for name in batch[0].encoded}
