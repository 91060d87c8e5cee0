"""The queue of one version: who is answered, with whom, and who is not."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Semaphore
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import InvalidInputs, Overloaded
from app.modalities.base import Encoded
from app.serving.dynamic_batcher import DynamicBatcher, QueuePolicy

Floats = NDArray[np.float32]


class Network:
    """Answers with its inputs, each run when the test says so, and remembers how many rows each run had."""

    def __init__(self) -> None:
        self.runs: list[int] = []
        self._turns = Semaphore(0)

    def __call__(self, encoded: Encoded) -> Floats:
        self._turns.acquire()
        values = encoded["x"]
        self.runs.append(len(values))
        if (values < 0).any():
            raise InvalidInputs("negative")
        return values

    def let(self, runs: int) -> None:
        self._turns.release(runs)


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network()
    yield network
    network.let(1000)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


def rows(*values: float, width: int = 1) -> Encoded:
    return {"x": np.repeat(np.array(values, np.float32)[:, None], width, axis=1)}


def together(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))


def test_what_arrives_during_a_run_goes_together_into_the_next_one(network: Network, threads: ThreadPoolExecutor) -> None:
    async def test() -> None:
        batcher = DynamicBatcher(network, threads, QueuePolicy(max_batch=8))
        futures = [batcher.submit(rows(*range(size))) for size in (1, 2, 3, 4)]
        network.let(10)
        answers = await asyncio.gather(*futures)
        assert [answer[:, 0].tolist() for answer in answers] == [[*range(size)] for size in (1, 2, 3, 4)]
        assert network.runs == [1, 5, 4]  # two and three rows together; four more would have been nine

    together(test)


def test_nobody_is_joined_where_it_does_not_pay(network: Network, threads: ThreadPoolExecutor) -> None:
    async def test() -> None:
        batcher = DynamicBatcher(network, threads, QueuePolicy(concurrency=2))
        network.let(10)
        await asyncio.gather(*[batcher.submit(rows(1)) for _ in range(4)])
        assert network.runs == [1, 1, 1, 1]

    together(test)


def test_inputs_of_other_lengths_are_not_joined(network: Network, threads: ThreadPoolExecutor) -> None:
    async def test() -> None:
        batcher = DynamicBatcher(network, threads, QueuePolicy(max_batch=8))
        futures = [batcher.submit(rows(1)), *[batcher.submit(rows(2, width=width)) for width in (3, 3, 4)]]
        network.let(10)
        answers = await asyncio.gather(*futures)
        assert [answer.shape for answer in answers] == [(1, 1), (1, 3), (1, 3), (1, 4)]
        assert network.runs == [1, 2, 1]

    together(test)


def test_a_request_with_a_delay_waits_for_others_until_the_batch_is_full(network: Network, threads: ThreadPoolExecutor) -> None:
    async def test() -> None:
        batcher = DynamicBatcher(network, threads, QueuePolicy(max_batch=3, batch_delay_us=10e6))
        network.let(10)
        await asyncio.gather(*[batcher.submit(rows(1)) for _ in range(3)])
        assert network.runs == [3]

    together(test)


def test_a_request_with_a_delay_is_not_left_waiting(network: Network, threads: ThreadPoolExecutor) -> None:
    async def test() -> None:
        batcher = DynamicBatcher(network, threads, QueuePolicy(max_batch=3, batch_delay_us=1000))
        network.let(10)
        assert (await batcher.submit(rows(7))).tolist() == [[7]]

    together(test)


def test_beyond_the_queue_requests_are_refused_at_once(network: Network, threads: ThreadPoolExecutor) -> None:
    async def test() -> None:
        batcher = DynamicBatcher(network, threads, QueuePolicy(max_queue_size=2))
        accepted = [batcher.submit(rows(number)) for number in range(3)]  # one runs, two wait
        with pytest.raises(Overloaded):
            batcher.submit(rows(3))
        network.let(10)
        assert [answer.item() for answer in await asyncio.gather(*accepted)] == [0, 1, 2]
        assert (await batcher.submit(rows(4))).item() == 4

    together(test)


def test_who_waited_too_long_is_refused(network: Network, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("app.serving.dynamic_batcher.monotonic", lambda: now)

    async def test() -> None:
        nonlocal now
        batcher = DynamicBatcher(network, threads, QueuePolicy(queue_timeout_seconds=5))
        first, second = batcher.submit(rows(1)), batcher.submit(rows(2))
        now += 5.1
        network.let(10)
        assert (await first).item() == 1
        with pytest.raises(Overloaded, match="waited too long"):
            await second

    together(test)


def test_where_the_first_waits_too_long_more_are_refused_at_once(
    network: Network, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("app.serving.dynamic_batcher.monotonic", lambda: now)
    monkeypatch.setattr("app.serving.queue_delay_limiter.monotonic", lambda: now)

    async def test() -> None:
        nonlocal now
        batcher = DynamicBatcher(network, threads, QueuePolicy(max_queue_delay_seconds=1))
        accepted = [batcher.submit(rows(number)) for number in range(2)]  # one runs, one waits
        now += 0.9
        accepted.append(batcher.submit(rows(2)))
        now += 0.2
        with pytest.raises(Overloaded):
            batcher.submit(rows(3))
        network.let(3)
        await asyncio.gather(*accepted)
        accepted = [batcher.submit(rows(number)) for number in range(2)]
        network.let(2)
        await asyncio.gather(*accepted)

    together(test)


def test_who_leaves_the_queue_is_not_computed(network: Network, threads: ThreadPoolExecutor) -> None:
    async def test() -> None:
        batcher = DynamicBatcher(network, threads, QueuePolicy(max_batch=8))
        first, left, last = batcher.submit(rows(1)), batcher.submit(rows(2, 2, 2)), batcher.submit(rows(3))
        left.cancel()
        network.let(10)
        assert [(await first).item(), (await last).item()] == [1, 3]
        assert network.runs == [1, 1]

    together(test)


def test_the_fault_of_one_request_is_not_that_of_those_it_was_joined_with(network: Network, threads: ThreadPoolExecutor) -> None:
    async def test() -> None:
        batcher = DynamicBatcher(network, threads, QueuePolicy(max_batch=8))
        futures = [batcher.submit(rows(value)) for value in (1, 2, -3, 4)]
        network.let(10)
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        assert isinstance(outcomes[2], InvalidInputs)
        assert [outcome.item() for outcome in outcomes if isinstance(outcome, np.ndarray)] == [1, 2, 4]
        assert network.runs == [1, 3, 1, 1, 1]

    together(test)
