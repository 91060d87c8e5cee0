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


def test_queue_delay_limit_is_shorter_after_a_rejection(clock: Clock) -> None:
    patience = QueueDelayLimiter(1.0)
    assert not refuses(patience, 0.9)
    assert refuses(patience, 1.1)
    assert [refuses(patience, wait) for wait in (0.29, 0.31, 0.9)] == [False, True, True]

    clock.now += RECOVERY_SECONDS
    assert not refuses(patience, 0.9)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))


def test_admission_is_idle_for_one_slice_after_the_last_poll(clock: Clock) -> None:
    async def test() -> None:
        admission = EventLoopAdmission(QueueDelayLimiter(1.0))
        assert not admission.is_idle()
        await admission.acquire()
        assert admission.is_idle()
        clock.now += SLICE_SECONDS
        assert not admission.is_idle()

    run(test)


async def poll() -> None:
    """Let the loop iterate until it sees no new connection."""
    for _ in range(QUIET_POLLS):
        await asyncio.sleep(0)


def test_admission_stays_idle_while_the_loop_polls_in_time(clock: Clock) -> None:
    async def test() -> None:
        admission = EventLoopAdmission(QueueDelayLimiter(1.0))
        await admission.acquire()
        for _ in range(5):
            clock.now += SLICE_SECONDS * 0.7
            assert admission.is_idle()
            await poll()

    run(test)


def test_admission_is_busy_after_a_late_poll(clock: Clock) -> None:
    async def test() -> None:
        admission = EventLoopAdmission(QueueDelayLimiter(1.0))
        await admission.acquire()
        clock.now += SLICE_SECONDS * 0.7
        assert admission.is_idle()
        clock.now += SLICE_SECONDS * 0.7
        await poll()
        assert not admission.is_idle()

    run(test)


def test_admission_is_busy_while_connections_arrive(clock: Clock) -> None:
    async def test() -> None:
        admission = EventLoopAdmission(QueueDelayLimiter(1.0))
        await admission.acquire()
        for _ in range(2):
            clock.now += SLICE_SECONDS * 0.6
            free = admission.is_idle()
            for _ in range(QUIET_POLLS * 2):
                admission.on_connect()
                await asyncio.sleep(0)
        assert not free
        await admission.acquire()
        assert admission.is_idle()

    run(test)


def test_requests_are_admitted_in_order_with_polls_between_them(clock: Clock) -> None:
    async def test() -> None:
        admission, seen = EventLoopAdmission(QueueDelayLimiter(1.0)), []

        async def work(number: int) -> None:
            await admission.acquire()
            seen.append(number)
            clock.now += SLICE_SECONDS * 2
            if number == 0:
                asyncio.get_running_loop().call_soon(seen.append, -1)  # as a callback of a socket would be

        await asyncio.gather(*[work(number) for number in range(4)])
        assert sorted(seen) == [-1, 0, 1, 2, 3]
        assert [number for number in seen if number >= 0] == [0, 1, 2, 3]
        assert seen.index(-1) < seen.index(1)

    run(test)


def test_late_requests_and_their_successors_are_rejected(clock: Clock) -> None:
    async def test() -> None:
        admission = EventLoopAdmission(QueueDelayLimiter(1.0))
        *rejected, _, last = (asyncio.ensure_future(admission.acquire()) for _ in range(5))
        await asyncio.sleep(0)  # all wait
        clock.now += 1.1
        with pytest.raises(Overloaded):
            await admission.acquire()
        for admitted in rejected:
            with pytest.raises(Overloaded):
                await admitted
        await last
        clock.now += RECOVERY_SECONDS
        await admission.acquire()

    run(test)


def test_single_waiting_request_is_admitted_after_a_stall(clock: Clock) -> None:
    async def test() -> None:
        admission = EventLoopAdmission(QueueDelayLimiter(1.0))
        for _ in range(2):
            admitted = asyncio.ensure_future(admission.acquire())
            await asyncio.sleep(0)
            clock.now += 1.1
            await admitted

    run(test)
