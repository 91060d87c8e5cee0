"""Slots of large prediction bodies."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest

from app.api import large_bodies
from app.api.large_bodies import LARGE_BYTES, MANY_VALUES, MAX_UNPACKED, HeldSlots, LargeBodies, SlotPool
from app.errors import Overloaded

VALUES = b"," * (MANY_VALUES + 1)


async def most_at_once(requests: list[Coroutine[Any, Any, None]], slots: list[int]) -> int:
    """Run all requests, which add their number to `slots` while they hold one; return the largest number of holders."""
    await asyncio.gather(*requests)
    return max(slots)


@pytest.mark.parametrize(
    ("size", "body", "expected"), [(LARGE_BYTES + 1, b"", MAX_UNPACKED), (1, VALUES, 1), (LARGE_BYTES, b"", 9)]
)
def test_few_large_bodies_are_held_at_once(size: int, body: bytes, expected: int) -> None:
    bodies, holders, counts = LargeBodies(), [0], [0]

    async def request() -> None:
        async with AsyncExitStack() as stack:
            held = HeldSlots(bodies, stack)
            for _ in range(2):  # the second piece of a body needs no second slot
                await held.before_unpacking(size)
            await held.before_parsing(body)
            holders[0] += 1
            counts.append(holders[0])
            await asyncio.sleep(0)
            holders[0] -= 1

    assert asyncio.run(most_at_once([request() for _ in range(9)], counts)) == expected


def test_request_beyond_the_line_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_bodies, "MAX_WAITING", 1)

    async def scenario() -> None:
        slots = SlotPool(1)

        async def wait() -> None:
            async with slots.held():
                pass

        async with slots.held():
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                await wait()
        await waiting

    asyncio.run(scenario())
