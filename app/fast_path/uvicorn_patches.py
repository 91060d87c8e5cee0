"""uvicorn's protocol with three fixes.

Context: uvicorn keeps reading a connection while requests wait on it, so that thousands can pile up. It loses the body of a
request that asks for an upgrade to HTTP/2 (https://github.com/Kludex/uvicorn/issues/2722). When a client disconnects, it notifies
only the last of the pipelined requests. Decision: a connection is read no faster than its requests are answered. A request
for an unsupported protocol is ignored, as RFC 9110, 7.8 allows, and the request keeps its body. The running request is
notified. Consequences: this code depends on private names of uvicorn, whose version is therefore bounded in pyproject.toml.
"""

import asyncio
import sys
from collections.abc import Sized
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle


class _BackpressureFlowControl(FlowControl):
    """Flow control that does not resume reading while pipelined requests wait; uvicorn resumes after each request."""

    def __init__(self, transport: asyncio.Transport, pipeline: Sized) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        if not self._pipeline:
            super().resume_reading()


class PatchedHttpToolsProtocol(HttpToolsProtocol):
    """One connection. `data` is the data being parsed, `is_start` is true if a request begins with it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.data, self.is_start = b"", True
        self.is_between = True
        self._ignores_upgrade, self._replay_data = False, b""
        self._running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _BackpressureFlowControl(transport, self.pipeline)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        while data:
            self.data, self.is_start, self._replay_data = data, self.is_between, b""
            super().data_received(data)
            data = self._replay_data
        self.data = b""

    def on_message_begin(self) -> None:
        self.is_between = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._ignores_upgrade = self._requests_unsupported_protocol()
        if not self._ignores_upgrade:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        self.is_between = True
        if not self._ignores_upgrade:
            super().on_message_complete()

    def _requests_unsupported_protocol(self) -> bool:
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT" and not self._should_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """Parse the request again without its `Upgrade` header, because the parser has skipped the body."""
        upgrade = sys.exception()
        if not self._ignores_upgrade or upgrade is None:
            super()._unsupported_upgrade_warning()
            return
        lines = b"".join([b"%s: %s\r\n" % header for header in self.headers if header[0] != b"upgrade"])
        start = self.parser.get_method(), self.url, self.parser.get_http_version().encode(), lines
        self._replay_data = b"%s %s HTTP/%s\r\n%s\r\n" % start + self.data[upgrade.args[0] :]

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)
