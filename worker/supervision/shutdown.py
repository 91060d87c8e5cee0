"""Tells the process that runs a job that its worker shuts down."""

import mmap
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class SharedFlag:
    """Set in a worker's main process, seen in its forked pool process. No lock: a kill cannot leave it held."""

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)

    def set(self) -> None:
        self._byte[0] = 1

    def is_set(self) -> bool:
        return self._byte[0] == 1


class ShutdownRequest:
    """Whether the running job should be given back: its worker shuts down, or SIGTERM came to this very process.

    Some process managers signal a whole group; a pool process that died of it would take its job's attempt along.
    """

    def __init__(self) -> None:
        self.worker_is_stopping = SharedFlag()
        self._signalled = False

    def __call__(self) -> bool:
        return self._signalled or self.worker_is_stopping.is_set()

    @contextmanager
    def on_sigterm(self) -> Iterator[None]:
        """While the block runs, SIGTERM drains instead of killing this process."""
        self._signalled = False
        previous = signal.signal(signal.SIGTERM, self._note)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, previous)

    def _note(self, _: int, __: FrameType | None) -> None:
        self._signalled = True
