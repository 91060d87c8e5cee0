"""Items are made while others are used: in order, not too far ahead, and no longer than anybody wants them."""

import threading
from collections.abc import Iterator

import pytest

from worker.batch_prediction.prefetch import prefetch


class Made:
    """Counts what was made, and by which threads."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.made = 0
        self.threads: set[int] = set()

    def __iter__(self) -> Iterator[int]:
        for number in range(self.count):
            self.made += 1
            self.threads.add(threading.get_ident())
            yield number


def test_the_items_come_in_their_order_from_another_thread() -> None:
    source = Made(100)
    assert list(prefetch(source, 3)) == list(range(100))
    assert threading.get_ident() not in source.threads


def test_no_more_than_the_depth_is_made_ahead_and_nothing_after_the_end() -> None:
    source = Made(100)
    items = prefetch(source, 3)
    assert [next(items) for _ in range(5)] == [0, 1, 2, 3, 4]
    items.close()  # type: ignore[attr-defined]
    made = source.made
    assert made <= 5 + 3
    assert list(items) == []
    assert source.made == made


def test_what_making_an_item_raises_comes_after_the_items_before_it() -> None:
    def failing() -> Iterator[int]:
        yield from range(4)
        raise OSError("the disk is gone")

    items = prefetch(failing(), 3)
    assert [next(items) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(OSError, match="the disk is gone"):
        next(items)


def test_two_stages_work_as_one() -> None:
    assert list(prefetch(map(str, prefetch(range(20), 2)), 2)) == [str(number) for number in range(20)]
