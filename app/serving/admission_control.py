"""The queue in front of the event loop, for work that runs in the loop itself.

Context: requests that arrive while the loop is busy wait in the kernel, where they cannot be counted. libuv accepts one
connection per poll of its sockets, so that under overload most requests would wait there for seconds.
Decision: after each slice of work, requests wait here in order, while the loop polls its sockets until nothing new arrives. A
loop that polls a few times within the slice and accepts no connection has no backlog; then requests do not wait.
Consequences: waiting times are known, so that late requests are rejected before they are read. The first request after a pause
waits for some polls, about 50 us.
"""

import asyncio
from collections import deque
from time import monotonic

from app.serving.queue_delay_limiter import QueueDelayLimiter

SLICE_SECONDS = 0.01
QUIET_POLLS = 3
"""Polls from a connection to its request: one each to accept, read and start it."""
MAX_BURST_SIZE = 100


class EventLoopAdmission:
    """The admission queue of one event loop."""

    def __init__(self, limiter: QueueDelayLimiter) -> None:
        self._limiter = limiter
        self._waiting: deque[tuple[asyncio.Future[None], float]] = deque()
        self._arrived = self._connected = 0
        self._is_polling_quickly = False
        self._burst_size = 1
        self._polled_at = 0.0

    def is_idle(self) -> bool:
        """Return whether no request waits and the loop polled its sockets in this slice. Start the next poll in time."""
        since_poll = monotonic() - self._polled_at
        if SLICE_SECONDS / 2 < since_poll < SLICE_SECONDS and not self._is_polling_quickly:
            self._is_polling_quickly = True
            asyncio.get_running_loop().call_soon(self._poll_quickly, self._connected, 0)
        return not self._waiting and since_poll < SLICE_SECONDS

    def on_connect(self) -> None:
        """Count an accepted connection: others may wait behind it."""
        self._connected += 1

    async def acquire(self) -> None:
        """Wait for earlier requests. Raise Overloaded if the wait is or was too long and other requests still wait.

        The last request in the queue is not rejected. A long wait with no request behind it means that the process was paused.
        """
        loop, arrived_at = asyncio.get_running_loop(), monotonic()
        self._arrived += 1
        if self._waiting:
            self._limiter.check(arrived_at - self._waiting[0][1])
        else:
            loop.call_soon(self._poll, arrived_at, self._arrived, 0)
        admitted = loop.create_future()
        self._waiting.append((admitted, arrived_at))
        await admitted
        if self._waiting:
            self._limiter.check(monotonic() - arrived_at)

    def _poll_quickly(self, connected: int, quiet: int) -> None:
        """Note a poll if the loop, while it works, polls a few times within the slice without a new connection."""
        now = monotonic()
        quiet = quiet + 1 if connected == self._connected else 0
        if quiet < QUIET_POLLS and now - self._polled_at < SLICE_SECONDS:
            asyncio.get_running_loop().call_soon(self._poll_quickly, self._connected, quiet)
            return
        self._is_polling_quickly = False
        if now - self._polled_at < SLICE_SECONDS:
            self._polled_at = now

    def _poll(self, started_at: float, arrived: int, quiet: int) -> None:
        """Poll until no request has arrived for some polls; then admit the oldest requests."""
        quiet = quiet + 1 if arrived == self._arrived else 0
        if quiet < QUIET_POLLS and monotonic() - started_at < SLICE_SECONDS:
            asyncio.get_running_loop().call_soon(self._poll, started_at, self._arrived, quiet)
        else:
            self._release()

    def _release(self) -> None:
        self._polled_at = monotonic()
        for _ in range(min(self._burst_size, len(self._waiting))):
            admitted, _ = self._waiting.popleft()
            if not admitted.done():
                admitted.set_result(None)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._resume)

    def _resume(self) -> None:
        """Adapt the burst size after a burst, which should take one slice, and poll again."""
        now = monotonic()
        is_long = now - self._polled_at > SLICE_SECONDS
        self._burst_size = max(1, self._burst_size // 2) if is_long else min(self._burst_size + 1, MAX_BURST_SIZE)
        self._poll(now, self._arrived, 0)
