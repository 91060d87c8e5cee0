"""Prefetching: order, depth, errors and end."""

import threading
from collections.abc import Iterator

import pytest

from worker.batch_prediction.prefetch import prefetch


class CountingItems:
    """Numbers that count how many were made, and by which threads."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.made = 0
        self.threads: set[int] = set()

    def __iter__(self) -> Iterator[int]:
        for number in range(self.count):
            self.made += 1
            self.threads.add(threading.get_ident())
            yield number


def test_prefetch_yields_items_in_order_from_another_thread() -> None:
    source = CountingItems(100)
    assert list(prefetch(source, 3)) == list(range(100))
    assert threading.get_ident() not in source.threads


def test_prefetch_stays_within_its_depth_and_stops_when_closed() -> None:
    source = CountingItems(100)
    items = prefetch(source, 3)
    assert [next(items) for _ in range(5)] == [0, 1, 2, 3, 4]
    items.close()  # type: ignore[attr-defined]
    made = source.made
    assert made <= 5 + 3
    assert list(items) == []
    assert source.made == made


def test_prefetch_raises_an_error_after_the_earlier_items() -> None:
    def failing() -> Iterator[int]:
        yield from range(4)
        raise OSError("the disk is gone")

    items = prefetch(failing(), 3)
    assert [next(items) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(OSError, match="the disk is gone"):
        next(items)


def test_prefetch_can_be_nested() -> None:
    assert list(prefetch(map(str, prefetch(range(20), 2)), 2)) == [str(number) for number in range(20)]
