"""Slots of large prediction bodies, so that many small requests cannot fill the memory.

Context: 32 KB of gzip become 32 MB, and 32 MB of JSON become 700 MB of lists. Hundreds of clients may send them at once.
Decision: few bodies at a time are unpacked beyond `LARGE_BYTES`, and one at a time with more than `MANY_VALUES` values is parsed
and predicted. A request takes its slot after its body has arrived, so a slow client delays no other. Consequences: others wait
without a thread, and beyond `MAX_WAITING` they get 503. Alternatives: smaller limits of bodies refuse honest requests; a limit
of all bytes in memory does not see what JSON becomes.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import Depends, Request

from app.errors import Overloaded

LARGE_BYTES = 1024**2
MANY_VALUES = 200_000
MAX_UNPACKED, MAX_PARSED, MAX_WAITING = 4, 1, 64


class SlotPool:
    """Slots of requests that must not be served at the same time, except for a few."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)
        self._waiting = 0

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Wait for a slot and hold it while the block runs. Raise Overloaded if too many wait."""
        if self._waiting >= MAX_WAITING:
            raise Overloaded("Too many large requests wait. Try again.")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()


class LargeBodies:
    """The slots of a process."""

    def __init__(self) -> None:
        self.unpacking, self.parsing = SlotPool(MAX_UNPACKED), SlotPool(MAX_PARSED)


class HeldSlots:
    """The slots of one request, which it keeps until its response."""

    def __init__(self, bodies: LargeBodies, stack: AsyncExitStack) -> None:
        self._bodies, self._stack = bodies, stack
        self._unpacks = False

    async def before_unpacking(self, size: int) -> None:
        """Take a slot once the body has become large. Raise Overloaded."""
        if size > LARGE_BYTES and not self._unpacks:
            self._unpacks = True
            await self._stack.enter_async_context(self._bodies.unpacking.held())

    async def before_parsing(self, body: bytes) -> None:
        """Take a slot for a text with many values. Raise Overloaded."""
        if len(body) > MANY_VALUES and body.count(b",") > MANY_VALUES:
            await self._stack.enter_async_context(self._bodies.parsing.held())


async def _held_slots(request: Request) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        request.state.body_slots = HeldSlots(request.app.state.large_bodies, stack)
        yield


# scope="function": a client that does not read its response must not hold a slot
HOLDS_BODY_SLOTS = Depends(_held_slots, scope="function")
"""The dependency of routes that read large bodies."""
