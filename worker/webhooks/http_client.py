"""One HTTP request to an untrusted receiver: a checked address, one deadline, no redirects, no response body.

A name is resolved once, and the connection goes to an address that was checked: a name that resolves to another address a moment
later (DNS rebinding) reaches nothing.
"""

import socket
import time
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from app.services.webhook_addresses import is_public, refusal_of_name

TIMEOUT_SECONDS = 10.0


class AddressRefusedError(Exception):
    """The name resolves to private addresses only."""


REQUEST_ERRORS = (
    AddressRefusedError,
    OSError,
    UnicodeError,  # of names that IDNA cannot encode
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
)
"""The ways in which a request fails."""


class Deadline:
    """The end of the whole request. Time limits of single reads would let a receiver send one byte at a time for ever."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left. Raise TimeoutException if there are none."""
        seconds = self._end - time.monotonic()
        if seconds <= 0:
            raise httpcore.ReadTimeout("no response in time")
        return seconds


Headers = dict[bytes | str, bytes | str]


def post(url: str, body: bytes, headers: Headers, private_addresses: bool, seconds: float = TIMEOUT_SECONDS) -> int:
    """Send the body and return the status of the response. Raise one of REQUEST_ERRORS."""
    backend = _CheckedBackend(private_addresses, Deadline(seconds))
    with (
        httpcore.ConnectionPool(ssl_context=httpx.create_ssl_context(), network_backend=backend) as pool,
        pool.stream("POST", url, headers=headers, content=body) as response,
    ):
        return response.status


class _CheckedBackend(httpcore.NetworkBackend):
    """A network backend that resolves names itself and connects to allowed addresses only."""

    def __init__(self, private_addresses: bool, deadline: Deadline) -> None:
        self._private_addresses = private_addresses
        self._deadline = deadline
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = AddressRefusedError(f"{host} has no address")
        for address in self._allowed_addresses(host, port):
            try:
                stream = self._sockets.connect_tcp(address, port, self._deadline.left(), local_address, socket_options)
                return _DeadlineStream(stream, self._deadline)
            except httpcore.ConnectError as error:
                failure = error
        raise failure

    def _allowed_addresses(self, host: str, port: int) -> list[str]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(address[4][0]) for address in found]
        allowed = [address for address in addresses if self._private_addresses or is_public(address)]
        if addresses and not allowed:
            raise AddressRefusedError(refusal_of_name(host))
        return allowed


class _DeadlineStream(httpcore.NetworkStream):
    """A connection whose operations all end by the same deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left())

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> "_DeadlineStream":
        secured = self._stream.start_tls(ssl_context, server_hostname, self._deadline.left())
        return _DeadlineStream(secured, self._deadline)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
