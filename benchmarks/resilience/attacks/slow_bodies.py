"""500 predictions whose body arrives at one byte per second, for 15 s."""

import asyncio

from benchmarks.resilience.outcomes import counted
from benchmarks.resilience.service import Target

CLIENTS, SECONDS = 500, 15
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"


def run(target: Target) -> str:
    return asyncio.run(_attack(target))


async def _attack(target: Target) -> str:
    return counted(await asyncio.gather(*(_dribble(target) for _ in range(CLIENTS))))


async def _dribble(target: Target) -> str:
    reader, writer = await asyncio.open_connection(*target.address)
    try:
        writer.write(HEAD)
        for _ in range(SECONDS):
            writer.write(b"{")
            line = await _line_within(reader, 1)
            if line is not None:
                return line.split()[1].decode() if line else "closed"
    except OSError:
        return "reset"
    finally:
        writer.close()
    return f"open after {SECONDS} s"


async def _line_within(reader: asyncio.StreamReader, seconds: float) -> bytes | None:
    """Return the first line of a response, None if none comes in this time."""
    try:
        return await asyncio.wait_for(reader.readline(), seconds)
    except TimeoutError:
        return None
