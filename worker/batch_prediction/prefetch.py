"""Overlapping work: the next items are prepared while the current one is used."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
_END = object()


def prefetch(items: Iterable[Item], depth: int) -> Iterator[Item]:
    """Yield the items, computed in another thread at most `depth` ahead. Raise its exceptions at their position."""
    source = iter(items)
    pool = ThreadPoolExecutor(1)
    try:
        waiting: deque[Future[Item | object]] = deque(pool.submit(next, source, _END) for _ in range(depth))
        while (item := waiting.popleft().result()) is not _END:
            waiting.append(pool.submit(next, source, _END))
            yield item  # type: ignore[misc]  # never _END here
    finally:
        pool.shutdown(cancel_futures=True)
