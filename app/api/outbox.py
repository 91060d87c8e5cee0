"""Answers that leave together.

Context: an answer that is written wakes its client, which costs as much as a small network where the client sleeps on another core
(an interrupt between processors, dear above all in virtual machines), and the next answer wakes it again when it has gone back to
sleep. Decision: answers wait until the loop has come to the end of the requests that it found on its sockets, or until half a
millisecond of work is in them. Consequences: a client that waits for several answers is woken once for all; whoever writes to a
connection by another way flushes before.
"""

import asyncio
from time import monotonic

HELD_SECONDS = 0.0005


class Outbox:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._held: list[tuple[asyncio.Transport, bytes]] = []
        self._since = 0.0

    def put(self, transport: asyncio.Transport, data: bytes, begun: float) -> None:
        """An answer that was begun then, in the seconds of time.monotonic."""
        if not self._held:
            self._since = begun
            asyncio.get_running_loop().call_soon(self.flush)
        self._held.append((transport, data))
        if monotonic() - self._since > HELD_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is held, in order, to those who are still there."""
        held, self._held = self._held, []
        for transport, data in held:
            if not transport.is_closing():
                transport.write(data)
