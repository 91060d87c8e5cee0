"""Requests written byte by byte to a real socket, and their responses read one by one."""

import json
import socket
from typing import Any

GET = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


class RawConnection:
    """Connection to a server that reads response by response."""

    def __init__(self, address: tuple[str, int], timeout: float = 20) -> None:
        self.socket = socket.create_connection(address, timeout=timeout)
        self._file = self.socket.makefile("rb")

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def read(self) -> tuple[int, dict[str, str], Any]:
        """Return status, headers and JSON document of the next response."""
        status = int(self._file.readline().split()[1])
        lines = iter(lambda: self._file.readline().decode().strip(), "")
        headers = dict(line.split(": ", 1) for line in lines)
        content = self._file.read(int(headers["content-length"]))
        return status, headers, json.loads(content or b"null")

    def read_line(self) -> bytes:
        return self._file.readline()

    def read_rest(self) -> bytes:
        """Return all data until the end of the connection."""
        return self._file.read()

    def ended(self) -> bool:
        """Wait for the end of the connection."""
        return self._file.read(1) == b""

    def ended_with(self, start: bytes) -> bool:
        """Wait for the end of data that begins with `start`."""
        return self._file.read().startswith(start)

    def close(self) -> None:
        self._file.close()
        self.socket.close()
