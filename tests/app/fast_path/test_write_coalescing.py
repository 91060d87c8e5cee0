"""Responses are written together, in order, and after a bounded delay."""

import asyncio
from time import monotonic
from typing import cast

from app.fast_path.write_coalescing import MAX_DELAY_SECONDS, WriteCoalescer


class Wire:
    """Transport that records what is written."""

    def __init__(self, written: list[bytes]) -> None:
        self._write, self.is_closed = written.append, False

    def write(self, data: bytes) -> None:
        assert not self.is_closed
        self._write(data)

    def is_closing(self) -> bool:
        return self.is_closed


def put(outbox: WriteCoalescer, wire: Wire, data: bytes, seconds: float = 0.0) -> None:
    """Buffer a response whose request took this long."""
    outbox.write(cast(asyncio.Transport, wire), data, monotonic() - seconds)


def test_responses_of_one_iteration_are_written_at_its_end() -> None:
    async def rounds() -> list[list[bytes]]:
        written: list[bytes] = []
        outbox, seen = WriteCoalescer(), []
        for answers in ([b"1", b"2", b"3"], [b"4"]):
            for answer in answers:
                put(outbox, Wire(written), answer, seconds=-60)
            seen.append(list(written))
            await asyncio.sleep(0)
            seen.append(list(written))
        return seen

    assert asyncio.run(rounds()) == [[], [b"1", b"2", b"3"], [b"1", b"2", b"3"], [b"1", b"2", b"3", b"4"]]


def test_slow_response_is_written_at_once() -> None:
    async def one_after_the_other() -> None:
        written: list[bytes] = []
        outbox = WriteCoalescer()
        put(outbox, Wire(written), b"long", seconds=2 * MAX_DELAY_SECONDS)
        assert written == [b"long"]
        await asyncio.sleep(0)
        assert written == [b"long"]

    asyncio.run(one_after_the_other())


def test_closed_connections_are_skipped() -> None:
    async def leave() -> None:
        written: list[bytes] = []
        outbox, gone = WriteCoalescer(), Wire(written)
        put(outbox, gone, b"for a closed connection", seconds=-60)
        put(outbox, Wire(written), b"for an open connection", seconds=-60)
        gone.is_closed = True
        outbox.flush()
        assert written == [b"for an open connection"]

    asyncio.run(leave())
