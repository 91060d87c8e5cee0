"""Work that overlaps: the next items are made while the present one is used."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
_END = object()


def prefetch(items: Iterable[Item], depth: int) -> Iterator[Item]:
    """The same items, made in one other thread that is at most `depth` ahead; what making one raises is raised in its turn."""
    source = iter(items)
    pool = ThreadPoolExecutor(1)
    try:
        waiting: deque[Future[Item | object]] = deque(pool.submit(next, source, _END) for _ in range(depth))
        while (item := waiting.popleft().result()) is not _END:
            waiting.append(pool.submit(next, source, _END))
            yield item  # type: ignore[misc]  # it is not _END
    finally:
        pool.shutdown(cancel_futures=True)
