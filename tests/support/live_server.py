"""The app behind a real socket, as `isthmus api` puts it there."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi.testclient import TestClient

from app.fast_path.protocol import FastPathProtocol


@contextmanager
def live(client: TestClient) -> Iterator[uvicorn.Server]:
    """Until the block ends, or somebody sets `should_exit`; the client's lifespan is the app's."""
    config = uvicorn.Config(client.app, port=0, http=FastPathProtocol, log_config=None, access_log=False, lifespan="off")
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
    host, port = server.servers[0].sockets[0].getsockname()
    return host, port
