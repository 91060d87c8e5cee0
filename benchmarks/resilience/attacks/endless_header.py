"""One request with a header of 80 MB that does not end."""

import socket
from contextlib import closing

from benchmarks.resilience.service import Target

PIECE = b"x" * 1_000_000


def run(target: Target) -> str:
    with closing(socket.create_connection(target.address, timeout=60)) as attacker:
        attacker.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: ")
        for sent in range(80):
            try:
                attacker.sendall(PIECE)
            except OSError:
                return f"closed after {sent} MB"
    return "all sent"
