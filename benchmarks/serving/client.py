"""An open-loop load generator: the request rate does not depend on response times, as in real overload.

wrk waits for an answer before it sends the next request, so it can never ask for more than a server can give.
"""

import asyncio
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
MAX_CONNECTIONS = 1000
RESPONSE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request. `due` is when it should have been sent and `answered` when its answer was complete, both in the seconds of
    time.monotonic. A status of 0 means that there was no answer."""

    due: float
    answered: float
    status: int
    body: bytes

    @property
    def seconds(self) -> float:
        return self.answered - self.due


class Connection(asyncio.Protocol):
    """A connection for consecutive requests. Responses need a Content-Length."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        parsed = parse(self._received)
        if parsed is not None and self._answer is not None and not self._answer.done():
            self._received = b""
            self._answer.set_result(parsed)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError())

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and return status and body. Raise ConnectionError, TimeoutError."""
        if self._transport is None:
            raise ConnectionResetError
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        async with asyncio.timeout(RESPONSE_SECONDS):
            return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def parse(received: bytes) -> tuple[int, bytes] | None:
    """Split a complete response into status and body."""
    head, found, body = received.partition(b"\r\n\r\n")
    length = LENGTH.search(head)
    if not found or length is None or len(body) < int(length[1]):
        return None
    return int(head[9:12]), body


class OpenLoop:
    """Random requests to one port at a mean rate, over as many connections as necessary."""

    def __init__(self, port: int, requests: Sequence[bytes], seed: int = 0) -> None:
        self.port = port
        self.requests = requests
        self.outcomes: list[Outcome] = []
        self._random = random.Random(seed)
        self._idle: list[Connection] = []
        self._opened = 0

    async def run(self, rate: float, seconds: float) -> list[Outcome]:
        """Send all requests and return the outcomes."""
        first = len(self.outcomes)
        due = time.monotonic()
        end = due + seconds
        async with asyncio.TaskGroup() as group:
            while (due := due + self._random.expovariate(rate)) < end:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                group.create_task(self._one(due, self._random.choice(self.requests)))
        return self.outcomes[first:]

    async def _one(self, due: float, request: bytes) -> None:
        status, body = 0, b""
        connection = None
        try:
            connection = await self._connection()
            status, body = await connection.ask(request)
            self._idle.append(connection)
        except (OSError, TimeoutError):
            self._drop(connection)
        self.outcomes.append(Outcome(due, time.monotonic(), status, body))

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
            self._drop(connection)
        if self._opened >= MAX_CONNECTIONS:
            raise ConnectionRefusedError(f"{MAX_CONNECTIONS} requests are waiting")
        self._opened += 1
        try:
            _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", self.port)
        except OSError:
            self._opened -= 1
            raise
        return connection

    def _drop(self, connection: Connection | None) -> None:
        if connection is not None:
            self._opened -= 1
            connection.close()

    def close(self) -> None:
        while self._idle:
            self._drop(self._idle.pop())
