"""Hundreds of HTTP requests at the same time, each on its own connection."""

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

LIMIT_SECONDS = 120


@dataclass(frozen=True)
class Answer:
    """Status and body of a response; of an event stream, the part up to its first event."""

    status: int
    body: bytes


def send_at_once(url: str, requests: list[tuple[str, str, bytes]]) -> list[Answer]:
    """Send all requests (method, path, JSON body) together and return their responses in order."""

    async def scenario() -> list[Answer]:
        return await asyncio.gather(*(_send(url, *request) for request in requests))

    return asyncio.run(asyncio.wait_for(scenario(), LIMIT_SECONDS))


async def _send(url: str, method: str, path: str, body: bytes) -> Answer:
    host, port = urlsplit(url).hostname, urlsplit(url).port
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        is_stream = b"text/event-stream" in head
        content = await (reader.readuntil(b"\n\n") if is_stream else reader.read())
        return Answer(int(head.split(b" ", 2)[1]), content)
    finally:
        writer.close()
