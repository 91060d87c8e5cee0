"""The app behind a real socket, as `isthmus api` runs it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.fast_path.protocol import http_protocol


@contextmanager
def live(client: TestClient) -> Iterator[uvicorn.Server]:
    """Serve the app of `client`, whose lifespan has begun, until the block ends or a test sets `should_exit`."""
    app = client.app
    assert isinstance(app, FastAPI)
    config = uvicorn.Config(app, port=0, http=http_protocol(app), log_config=None, access_log=False, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join()


def address(server: uvicorn.Server) -> tuple[str, int]:
    """Return host and port of a running server."""
    host, port = server.servers[0].sockets[0].getsockname()
    return host, port
