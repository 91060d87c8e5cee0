"""Responses of one event loop iteration, written together.

Context: writing a response wakes up its client. If the client sleeps on another core of a virtual machine, the interrupt costs
the writer 12 us, as much as a small network. A client with several connections reads one response, sleeps, and is woken
again for the next. Decision: responses wait until the event loop has handled all requests of its current iteration, or until they
represent half a millisecond of work. Consequences: a client is woken once for all of them. Code that writes to or closes a
connection in another way has to flush first.
"""

import asyncio
from time import monotonic

MAX_DELAY_SECONDS = 0.0005


class WriteCoalescer:
    """Buffer of responses. Belongs to one event loop."""

    def __init__(self) -> None:
        self._buffer: list[tuple[asyncio.Transport, bytes]] = []
        self._oldest = 0.0

    def write(self, transport: asyncio.Transport, data: bytes, started: float) -> None:
        """Buffer a response. `started` is the time.monotonic at which its request began."""
        if not self._buffer:
            self._oldest = started
            asyncio.get_running_loop().call_soon(self.flush)
        self._buffer.append((transport, data))
        if monotonic() - self._oldest > MAX_DELAY_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write all buffered responses in order, except to connections that are closing."""
        buffer, self._buffer = self._buffer, []
        for transport, data in buffer:
            if not transport.is_closing():
                transport.write(data)
