"""Admission control in front of the event loop: order, polls of the sockets, and rejection after long waits."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from app.errors import Overloaded
from app.serving.admission_control import QUIET_POLLS, SLICE_SECONDS, EventLoopAdmission
from app.serving.queue_delay_limiter import RECOVERY_SECONDS, QueueDelayLimiter


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        for module in ("admission_control", "queue_delay_limiter"):
            monkeypatch.setattr(f"app.serving.{module}.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def refuses(patience: QueueDelayLimiter, wait: float) -> bool:
    try:
        patience.check(wait)
    except Overloaded:
        return True
    return False


def test_a_burst_may_wait_longer_than_what_comes_after_a_refusal(clock: Clock) -> None:
    patience = QueueDelayLimiter(1.0)
    assert not refuses(patience, 0.9)
    assert refuses(patience, 1.1)
    assert [refuses(patience, wait) for wait in (0.29, 0.31, 0.9)] == [False, True, True]

    clock.now += RECOVERY_SECONDS
    assert not refuses(patience, 0.9)


def together(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))


def test_the_turn_is_free_for_one_slice_after_the_last_look(clock: Clock) -> None:
    async def test() -> None:
        turns = EventLoopAdmission(QueueDelayLimiter(1.0))
        assert not turns.is_idle()
        await turns.acquire()
        assert turns.is_idle()
        clock.now += SLICE_SECONDS
        assert not turns.is_idle()

    together(test)


async def rounds() -> None:
    """Let the loop iterate until it sees no new connection."""
    for _ in range(QUIET_POLLS):
        await asyncio.sleep(0)


def test_the_turn_stays_free_while_the_loop_comes_round_in_time(clock: Clock) -> None:
    async def test() -> None:
        turns = EventLoopAdmission(QueueDelayLimiter(1.0))
        await turns.acquire()
        for _ in range(5):
            clock.now += SLICE_SECONDS * 0.7
            assert turns.is_idle()
            await rounds()

    together(test)


def test_the_turn_is_over_where_the_loop_comes_round_too_late(clock: Clock) -> None:
    async def test() -> None:
        turns = EventLoopAdmission(QueueDelayLimiter(1.0))
        await turns.acquire()
        clock.now += SLICE_SECONDS * 0.7
        assert turns.is_idle()
        clock.now += SLICE_SECONDS * 0.7
        await rounds()
        assert not turns.is_idle()

    together(test)


def test_the_turn_is_over_where_connections_keep_coming(clock: Clock) -> None:
    async def test() -> None:
        turns = EventLoopAdmission(QueueDelayLimiter(1.0))
        await turns.acquire()
        for _ in range(2):
            clock.now += SLICE_SECONDS * 0.6
            free = turns.is_idle()
            for _ in range(QUIET_POLLS * 2):
                turns.on_connect()
                await asyncio.sleep(0)
        assert not free
        await turns.acquire()
        assert turns.is_idle()

    together(test)


def test_turns_are_taken_in_order_and_news_from_the_sockets_come_between(clock: Clock) -> None:
    async def test() -> None:
        turns, seen = EventLoopAdmission(QueueDelayLimiter(1.0)), []

        async def work(number: int) -> None:
            await turns.acquire()
            seen.append(number)
            clock.now += SLICE_SECONDS * 2
            if number == 0:
                asyncio.get_running_loop().call_soon(seen.append, -1)  # as a callback of a socket would be

        await asyncio.gather(*[work(number) for number in range(4)])
        assert sorted(seen) == [-1, 0, 1, 2, 3]
        assert [number for number in seen if number >= 0] == [0, 1, 2, 3]
        assert seen.index(-1) < seen.index(1)

    together(test)


def test_who_waited_too_long_for_a_turn_is_refused_and_so_is_who_comes_then(clock: Clock) -> None:
    async def test() -> None:
        turns = EventLoopAdmission(QueueDelayLimiter(1.0))
        *refused, _, last = (asyncio.ensure_future(turns.acquire()) for _ in range(5))
        await asyncio.sleep(0)  # all wait
        clock.now += 1.1
        with pytest.raises(Overloaded):
            await turns.acquire()
        for turn in refused:
            with pytest.raises(Overloaded):
                await turn
        await last
        clock.now += RECOVERY_SECONDS
        await turns.acquire()

    together(test)


def test_who_waited_alone_through_a_standstill_is_not_refused(clock: Clock) -> None:
    async def test() -> None:
        turns = EventLoopAdmission(QueueDelayLimiter(1.0))
        for _ in range(2):
            turn = asyncio.ensure_future(turns.acquire())
            await asyncio.sleep(0)
            clock.now += 1.1
            await turn

    together(test)
