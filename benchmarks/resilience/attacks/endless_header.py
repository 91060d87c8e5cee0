"""One request with a header of 80 MB that does not end."""

import socket
from contextlib import closing, suppress

from benchmarks.resilience.service import Target

PIECE = b"x" * 1_000_000


def run(target: Target) -> str:
    with closing(socket.create_connection(target.address, timeout=60)) as attacker:
        attacker.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: ")
        with suppress(OSError):  # the server may close the connection before it has read all
            for _ in range(80):
                attacker.sendall(PIECE)
        try:
            return attacker.recv(100).split()[1].decode()
        except (OSError, IndexError):
            return "closed"
