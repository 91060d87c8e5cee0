"""Answers that leave together.

Context: to write an answer wakes its client, and where that sleeps on another core of a virtual machine, the interrupt costs the
writer as much as a small network: 12 us. A client that has several connections reads the answer, goes back to sleep and is woken
for the next. Decision: answers wait until the loop has come to the end of the requests that it found on its sockets, or until
there is half a millisecond of work in them. Consequences: a client is woken once for all of them; whoever writes to a connection
in another way, or closes it, flushes before.
"""

import asyncio
from time import monotonic

MAX_DELAY_SECONDS = 0.0005


class WriteCoalescer:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._held: list[tuple[asyncio.Transport, bytes]] = []
        self._oldest = 0.0

    def write(self, transport: asyncio.Transport, data: bytes, begun: float) -> None:
        """An answer that was begun then, in the seconds of time.monotonic."""
        if not self._held:
            self._oldest = begun
            asyncio.get_running_loop().call_soon(self.flush)
        self._held.append((transport, data))
        if monotonic() - self._oldest > MAX_DELAY_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is held, in order, to those who are still there."""
        held, self._held = self._held, []
        for transport, data in held:
            if not transport.is_closing():
                transport.write(data)
