"""The server's end of a child process, and the idle children that wait for the next upload."""

import atexit
import json
import os
import socket
import subprocess
import sys
import time
from collections import defaultdict
from threading import Lock
from typing import Any

MAX_IDLE = 2
_RECEIVE_BYTES = 1024 * 1024


class ChildEndedError(Exception):
    """The child ended before its reply: it was killed, or a library aborted it."""


class ChildProcess:
    """One child; it handles one request at a time."""

    def __init__(self, memory_bytes: int) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "app.services.upload_checks.child", str(memory_bytes)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: dict[str, Any], deadline: float) -> dict[str, Any]:
        """Return the reply. Raise TimeoutError at the deadline (monotonic clock), and ChildEndedError."""
        try:
            self._socket.settimeout(_remaining(deadline))
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            reply: dict[str, Any] = json.loads(self._receive_line(deadline))
        except (ConnectionError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise ChildEndedError(str(error)) from error
        return reply

    def kill(self) -> None:
        """End the child now. Another thread that waits for its reply gets ChildEndedError."""
        self._process.kill()

    def close(self) -> None:
        """End the child and free its resources."""
        self._process.kill()
        self._process.wait()
        self._socket.close()

    def _receive_line(self, deadline: float) -> bytes:
        received = bytearray()
        while not received.endswith(b"\n"):
            self._socket.settimeout(_remaining(deadline))
            part = self._socket.recv(_RECEIVE_BYTES)
            if not part:
                raise ChildEndedError(f"exit code {self._process.wait()}")
            received += part
        return bytes(received)


class IdleChildren:
    """Children that wait for the next upload, by their memory limit."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._idle: dict[int, list[ChildProcess]] = defaultdict(list)

    def take(self, memory_bytes: int) -> ChildProcess:
        """Return an idle child, or start one."""
        while True:
            with self._lock:
                child = self._idle[memory_bytes].pop() if self._idle[memory_bytes] else None
            if child is None:
                return ChildProcess(memory_bytes)
            if child.is_running():
                return child
            child.close()

    def give_back(self, child: ChildProcess, memory_bytes: int) -> None:
        """Keep a child for the next upload, or end it if enough are idle."""
        with self._lock:
            is_kept = len(self._idle[memory_bytes]) < MAX_IDLE
            if is_kept:
                self._idle[memory_bytes].append(child)
        if not is_kept:
            child.close()

    def close(self) -> None:
        """End all idle children."""
        with self._lock:
            children = [child for idle in self._idle.values() for child in idle]
            self._idle.clear()
        for child in children:
            child.close()


IDLE = IdleChildren()
"""The idle children of this process. They keep no state of an upload, so that all apps of a process share them."""
atexit.register(IDLE.close)


def _remaining(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _environment() -> dict[str, str]:
    """Return an environment without the server's secrets, with one thread per library: one check is to use one core.

    Polars' memory allocator, jemalloc, would start background threads. If the memory limit forbids one, it tries again without
    end and keeps a lock meanwhile, so that the check would hang.
    """
    threads = dict.fromkeys(("POLARS_MAX_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL") if name in os.environ}
    allocator = {"_RJEM_MALLOC_CONF": "background_thread:false"}
    return kept | threads | allocator | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
