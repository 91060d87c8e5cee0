"""Admission of checks: at most one per core at a time, a bounded number that wait, none in the threads of other requests."""

import asyncio
import contextvars
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from app.errors import UploadsBusy
from app.services.upload_checks.checker import CheckLimits, UploadChecker
from app.services.upload_checks.child_process import IDLE, ChildProcess
from app.settings import Settings

Result = TypeVar("Result")


class CheckPool:
    """The threads that wait for child processes. Use it from one event loop at a time."""

    def __init__(self, limits: CheckLimits, at_once: int, max_waiting: int) -> None:
        self._limits = limits
        self._capacity = at_once + max_waiting
        self._pending = 0
        self._threads = ThreadPoolExecutor(at_once, "upload-check")

    @classmethod
    def of(cls, settings: Settings) -> "CheckPool":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return cls(CheckLimits.of(settings), settings.upload_checks or cores, settings.max_waiting_uploads)

    def start_child(self) -> None:
        """Start a child in advance, so that the first upload does not wait for it."""
        IDLE.give_back(ChildProcess(self._limits.memory_bytes), self._limits.memory_bytes)

    def refuse_if_full(self) -> None:
        """Raise UploadsBusy if no further check may wait."""
        if self._pending >= self._capacity:
            raise UploadsBusy

    async def run(self, work: Callable[[UploadChecker], Result]) -> Result:
        """Return the result of `work`, which checks one file, or raise its error. Raise UploadsBusy.

        A cancelled task leaves the queue, or its child is killed.
        """
        self.refuse_if_full()
        checker = UploadChecker(self._limits)
        self._pending += 1
        future = self._threads.submit(contextvars.copy_context().run, _run, checker, work)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: self._release_in(loop))
        result = asyncio.wrap_future(future)
        try:
            return await asyncio.shield(result)
        except asyncio.CancelledError:
            result.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # asyncio warns of unread errors
            _abandon(future, checker)
            raise

    def close(self) -> None:
        """Drop the checks that wait. Running ones end with their children."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _release_in(self, loop: asyncio.AbstractEventLoop) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        self._pending -= 1


def _run(checker: UploadChecker, work: Callable[[UploadChecker], Result]) -> Result:
    with checker:
        return work(checker)


def _abandon(future: "Future[Result]", checker: UploadChecker) -> None:
    if not future.cancel():
        checker.abort()
