"""Limits of all connections of one server: how many there are, and how long an incomplete request may take.

Context: uvicorn waits without limit for a request, so that idle or slow connections exhaust the open files. Decision: one
periodic check visits all connections, instead of one timer per request. It counts seconds in which the event loop responds, so
that a paused process blames no client. Consequences: deadlines are exact to about a second, and cost a request nothing.
"""

import asyncio
import os
import resource
from collections import Counter, OrderedDict
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from typing import Protocol

from app.errors import RequestTimeout, ServiceError, TooManyConnections
from app.observability.refusals import record_refusal

CHECK_SECONDS = 1.0
MAX_OPEN_FILES = 16_384
"""Bound of the raised limit of open files: each connection also needs memory."""
_MIN_SECONDS_BEFORE_EVICTION = 1


class GuardedConnection(Protocol):
    """What the guard calls on a connection."""

    @property
    def address(self) -> str:
        """Address of the client."""

    def awaits_first_request(self) -> bool:
        """Return whether no complete head has arrived on this connection."""

    def refuse(self, error: ServiceError) -> None:
        """Answer with an error, and close the connection."""

    def enforce_deadlines(self) -> None:
        """Refuse the request under way if it is too slow."""


def raise_open_file_limit() -> None:
    """Raise the limit of open files of this process to what the system allows, up to `MAX_OPEN_FILES`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


class ConnectionGuard:
    """The open connections of a server. Belongs to one event loop."""

    def __init__(self, max_connections: int, max_per_address: int) -> None:
        self.seconds = 0
        """Checks so far, about one per second."""
        self._max_connections, self._max_per_address = max_connections or _default_maximum(), max_per_address
        self._connections: set[GuardedConnection] = set()
        self._unused: OrderedDict[GuardedConnection, int] = OrderedDict()
        self._by_address: Counter[str] = Counter()
        self._is_checking = False

    def add(self, connection: GuardedConnection) -> ServiceError | None:
        """Count a new connection. Return the error with which it has to be refused."""
        self._connections.add(connection)
        self._by_address[connection.address] += 1
        if not self._is_checking:
            self._is_checking = True
            asyncio.get_running_loop().call_later(CHECK_SECONDS, self._check)
        if self._by_address[connection.address] > self._max_per_address and not _is_loopback(connection.address):
            return TooManyConnections(f"The address {connection.address} has {self._max_per_address} open connections.")
        if self.count() > self._max_connections and not self._evict():
            return TooManyConnections()
        self._unused[connection] = self.seconds
        return None

    def count(self) -> int:
        """Return the number of open connections."""
        return len(self._connections)

    def is_flooded(self) -> bool:
        """Return whether even the refused connections, which are still open for a moment, are too many."""
        return self.count() > self._max_connections + max(64, self._max_connections // 8)

    def discard(self, connection: GuardedConnection) -> None:
        """Forget a closed connection."""
        self._connections.discard(connection)
        self._unused.pop(connection, None)
        self._by_address[connection.address] -= 1
        if not self._by_address[connection.address]:
            del self._by_address[connection.address]

    def _evict(self) -> bool:
        """Refuse the connection that has waited longest without a request, and return whether there is one."""
        while self._unused:
            connection, since = next(iter(self._unused.items()))
            if connection.awaits_first_request() and self.seconds - since < _MIN_SECONDS_BEFORE_EVICTION:
                return False
            del self._unused[connection]
            if connection.awaits_first_request():
                connection.refuse(RequestTimeout())
                return True
        return False

    def _check(self) -> None:
        self._is_checking = bool(self._connections)
        if self._is_checking:
            asyncio.get_running_loop().call_later(CHECK_SECONDS, self._check)
        self.seconds += 1
        for connection in list(self._connections):
            connection.enforce_deadlines()
        _report_exhausted_files()


def _default_maximum() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_OPEN_FILES * 4 // 5 if soft == resource.RLIM_INFINITY else soft * 4 // 5


def _is_loopback(address: str) -> bool:
    with suppress(ValueError):
        parsed = ip_address(address)
        mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
        return (mapped or parsed).is_loopback
    return not address  # a Unix domain socket has no address


def _report_exhausted_files() -> None:
    """Log it if no file can be opened: libuv then closes new connections without a sign."""
    try:
        os.close(os.dup(2))
    except OSError as error:
        record_refusal("open_files_exhausted", detail=str(error))
