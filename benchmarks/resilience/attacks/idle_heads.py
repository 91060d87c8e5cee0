"""1,000 connections that send half a head and wait, for 15 s."""

import asyncio

from benchmarks.resilience.outcomes import counted
from benchmarks.resilience.service import Target


def run(target: Target) -> str:
    return asyncio.run(_attack(target))


async def _attack(target: Target) -> str:
    return counted(await asyncio.gather(*(_idle(target) for _ in range(1000))))


async def _idle(target: Target) -> str:
    reader, writer = await asyncio.open_connection(*target.address)
    writer.write(b"GET /health/live HTTP/1.1\r\nHost: loc")
    try:
        line = await asyncio.wait_for(reader.readline(), 15)
    except TimeoutError:
        return "open after 15 s"
    except OSError:
        return "reset"
    finally:
        writer.close()
    return line.split()[1].decode() if line else "closed"
