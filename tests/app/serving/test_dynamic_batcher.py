"""Dynamic batching of one version: batches, delays, rejection and cancellation."""

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
    """A network that returns its inputs, blocks each run until released, and records the rows of each run."""

    def __init__(self) -> None:
        self.runs: list[int] = []
        self._permits = Semaphore(0)

    def __call__(self, encoded: Encoded) -> Floats:
        self._permits.acquire()
        values = encoded["x"]
        self.runs.append(len(values))
        if (values < 0).any():
            raise InvalidInputs("negative")
        return values

    def allow(self, runs: int) -> None:
        self._permits.release(runs)


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network()
    yield network
    network.allow(1000)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


def rows(*values: float, width: int = 1) -> Encoded:
    return {"x": np.repeat(np.array(values, np.float32)[:, None], width, axis=1)}


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))


def test_requests_that_arrive_during_a_run_are_batched(network: Network, threads: ThreadPoolExecutor) -> None:
    async def test() -> None:
        batcher = DynamicBatcher(network, threads, QueuePolicy(max_batch=8))
        futures = [batcher.submit(rows(*range(size))) for size in (1, 2, 3, 4)]
        network.allow(10)
        answers = await asyncio.gather(*futures)
        assert [answer[:, 0].tolist() for answer in answers] == [[*range(size)] for size in (1, 2, 3, 4)]
        assert network.runs == [1, 5, 4]  # two and three rows together; four more would have been nine

    run(test)


def test_requests_are_not_batched_without_a_benefit(network: Network, threads: ThreadPoolExecutor) -> None:
    async def test() -> None:
        batcher = DynamicBatcher(network, threads, QueuePolicy(concurrency=2))
        network.allow(10)
        await asyncio.gather(*[batcher.submit(rows(1)) for _ in range(4)])
        assert network.runs == [1, 1, 1, 1]

    run(test)


def test_inputs_of_different_lengths_are_not_batched(network: Network, threads: ThreadPoolExecutor) -> None:
    async def test() -> None:
        batcher = DynamicBatcher(network, threads, QueuePolicy(max_batch=8))
        futures = [batcher.submit(rows(1)), *[batcher.submit(rows(2, width=width)) for width in (3, 3, 4)]]
        network.allow(10)
        answers = await asyncio.gather(*futures)
        assert [answer.shape for answer in answers] == [(1, 1), (1, 3), (1, 3), (1, 4)]
        assert network.runs == [1, 2, 1]

    run(test)


def test_delayed_request_waits_until_the_batch_is_full(network: Network, threads: ThreadPoolExecutor) -> None:
    async def test() -> None:
        batcher = DynamicBatcher(network, threads, QueuePolicy(max_batch=3, batch_delay_us=10e6))
        network.allow(10)
        await asyncio.gather(*[batcher.submit(rows(1)) for _ in range(3)])
        assert network.runs == [3]

    run(test)


def test_delayed_request_runs_after_its_delay(network: Network, threads: ThreadPoolExecutor) -> None:
    async def test() -> None:
        batcher = DynamicBatcher(network, threads, QueuePolicy(max_batch=3, batch_delay_us=1000))
        network.allow(10)
        assert (await batcher.submit(rows(7))).tolist() == [[7]]

    run(test)


def test_request_beyond_the_queue_limit_is_rejected_immediately(network: Network, threads: ThreadPoolExecutor) -> None:
    async def test() -> None:
        batcher = DynamicBatcher(network, threads, QueuePolicy(max_queue_size=2))
        accepted = [batcher.submit(rows(number)) for number in range(3)]  # one runs, two wait
        with pytest.raises(Overloaded):
            batcher.submit(rows(3))
        network.allow(10)
        assert [answer.item() for answer in await asyncio.gather(*accepted)] == [0, 1, 2]
        assert (await batcher.submit(rows(4))).item() == 4

    run(test)


def test_request_that_waited_too_long_is_rejected(
    network: Network, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("app.serving.dynamic_batcher.monotonic", lambda: now)

    async def test() -> None:
        nonlocal now
        batcher = DynamicBatcher(network, threads, QueuePolicy(queue_timeout_seconds=5))
        first, second = batcher.submit(rows(1)), batcher.submit(rows(2))
        now += 5.1
        network.allow(10)
        assert (await first).item() == 1
        with pytest.raises(Overloaded, match="waited too long"):
            await second

    run(test)


def test_new_requests_are_rejected_while_the_oldest_is_late(
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
        network.allow(3)
        await asyncio.gather(*accepted)
        accepted = [batcher.submit(rows(number)) for number in range(2)]
        network.allow(2)
        await asyncio.gather(*accepted)

    run(test)


def test_cancelled_request_is_not_computed(network: Network, threads: ThreadPoolExecutor) -> None:
    async def test() -> None:
        batcher = DynamicBatcher(network, threads, QueuePolicy(max_batch=8))
        first, left, last = batcher.submit(rows(1)), batcher.submit(rows(2, 2, 2)), batcher.submit(rows(3))
        left.cancel()
        network.allow(10)
        assert [(await first).item(), (await last).item()] == [1, 3]
        assert network.runs == [1, 1]

    run(test)


def test_invalid_request_does_not_fail_others_in_its_batch(network: Network, threads: ThreadPoolExecutor) -> None:
    async def test() -> None:
        batcher = DynamicBatcher(network, threads, QueuePolicy(max_batch=8))
        futures = [batcher.submit(rows(value)) for value in (1, 2, -3, 4)]
        network.allow(10)
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        assert isinstance(outcomes[2], InvalidInputs)
        assert [outcome.item() for outcome in outcomes if isinstance(outcome, np.ndarray)] == [1, 2, 4]
        assert network.runs == [1, 3, 1, 1, 1]

    run(test)
