"""The queue in front of the event loop, for what is done in the loop itself.

Context: what comes while the loop is busy waits in the kernel, where nobody sees it, and libuv accepts one connection each
time that it looks at its sockets: under overload most requests would wait there for seconds. Decision: after each slice of work
requests wait here, in order, while the loop looks at its sockets until nothing new comes. A loop that comes round a few times
within the slice, without a new connection, has looked as well: then nobody waits. Consequences: how long requests have waited is
known, so that what comes too late is refused before it is read; the first request after a pause waits for some looks, some 50 us.
"""

import asyncio
from collections import deque
from time import monotonic

from app.serving.queue_delay_limiter import QueueDelayLimiter

SLICE_SECONDS = 0.01
QUIET_POLLS = 3
"""From a connection to its request: it is accepted, read, and begun, one look each."""
MAX_BURST_SIZE = 100


class EventLoopAdmission:
    """Belongs to one event loop."""

    def __init__(self, limiter: QueueDelayLimiter) -> None:
        self._limiter = limiter
        self._waiting: deque[tuple[asyncio.Future[None], float]] = deque()
        self._arrived = self._connected = 0
        self._is_polling_quickly = False
        self._burst_size = 1
        self._polled_at = 0.0

    def is_idle(self) -> bool:
        """Whether nobody waits and the loop has looked at its sockets lately; begins the next look in time for the next slice."""
        since_look = monotonic() - self._polled_at
        if SLICE_SECONDS / 2 < since_look < SLICE_SECONDS and not self._is_polling_quickly:
            self._is_polling_quickly = True
            asyncio.get_running_loop().call_soon(self._poll_quickly, self._connected, 0)
        return not self._waiting and since_look < SLICE_SECONDS

    def on_connect(self) -> None:
        """A connection was accepted: others may wait behind it."""
        self._connected += 1

    async def acquire(self) -> None:
        """Wait for those that came before. Raises Overloaded when that takes, or took, too long, and others wait still.

        Whoever comes last costs nobody an answer: the wait was the machine's that stood still, not the queue's.
        """
        loop, since = asyncio.get_running_loop(), monotonic()
        self._arrived += 1
        if self._waiting:
            self._limiter.check(since - self._waiting[0][1])
        else:
            loop.call_soon(self._poll, since, self._arrived, 0)
        turn = loop.create_future()
        self._waiting.append((turn, since))
        await turn
        if self._waiting:
            self._limiter.check(monotonic() - since)

    def _poll_quickly(self, known: int, quiet: int) -> None:
        """Whether the loop, at its work, comes round a few times within the slice, and no connection is new."""
        now = monotonic()
        quiet = quiet + 1 if known == self._connected else 0
        if quiet < QUIET_POLLS and now - self._polled_at < SLICE_SECONDS:
            asyncio.get_running_loop().call_soon(self._poll_quickly, self._connected, quiet)
            return
        self._is_polling_quickly = False
        if now - self._polled_at < SLICE_SECONDS:
            self._polled_at = now

    def _poll(self, begun: float, known: int, quiet: int) -> None:
        """Once more, until nothing new has come for some looks; then let those that wait longest go on."""
        quiet = quiet + 1 if known == self._arrived else 0
        if quiet < QUIET_POLLS and monotonic() - begun < SLICE_SECONDS:
            asyncio.get_running_loop().call_soon(self._poll, begun, self._arrived, quiet)
        else:
            self._release()

    def _release(self) -> None:
        self._polled_at = monotonic()
        for _ in range(min(self._burst_size, len(self._waiting))):
            turn, _ = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._resume)

    def _resume(self) -> None:
        """After the work of those that were let go, which should have taken one slice."""
        now = monotonic()
        is_long = now - self._polled_at > SLICE_SECONDS
        self._burst_size = max(1, self._burst_size // 2) if is_long else min(self._burst_size + 1, MAX_BURST_SIZE)
        self._poll(now, self._arrived, 0)
