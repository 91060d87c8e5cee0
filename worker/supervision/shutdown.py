"""The request of a worker that shuts down to the process that runs its job."""

import mmap
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class SharedFlag:
    """A flag set in a worker's main process and read in its forked pool process, without a lock that a kill could leave held."""

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)

    def set(self) -> None:
        self._byte[0] = 1

    def is_set(self) -> bool:
        return self._byte[0] == 1


class ShutdownRequest:
    """The request to give the running job back: its worker shuts down, or this process got SIGTERM.

    Some process managers signal a whole group. A pool process that died of it would use up the attempt of its job.
    """

    def __init__(self) -> None:
        self.worker_is_stopping = SharedFlag()
        self._signalled = False

    def __call__(self) -> bool:
        return self._signalled or self.worker_is_stopping.is_set()

    @contextmanager
    def on_sigterm(self) -> Iterator[None]:
        """Treat SIGTERM as a shutdown request while the block runs, instead of ending this process."""
        self._signalled = False
        previous = signal.signal(signal.SIGTERM, self._note)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, previous)

    def _note(self, _: int, __: FrameType | None) -> None:
        self._signalled = True
