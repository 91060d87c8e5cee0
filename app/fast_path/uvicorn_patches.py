"""uvicorn's protocol, with three gaps closed.

Context: uvicorn reads on with each of thousands of requests that it begins on one connection; it loses the body of a request that
offers HTTP/2, as some clients do with every one; and when a client leaves it tells only the last of its requests. Decision: a
connection is read no faster than it is answered; an offer of another protocol is ignored, as RFC 9110, 7.8 allows, and the
request kept whole; the request that runs is told.
"""

import asyncio
import sys
from collections.abc import Sized
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle


class _BackpressureFlowControl(FlowControl):
    """Reads no more while requests wait behind one another: each that is begun would have uvicorn read hundreds of others."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if not self._waiting:
            super().resume_reading()


class PatchedHttpToolsProtocol(HttpToolsProtocol):
    """One connection. `data` is what is being read, and `is_start` whether a request begins with it."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
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
        self._ignores_upgrade = self._asks_for_an_unknown_protocol()
        if not self._ignores_upgrade:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        self.is_between = True
        if not self._ignores_upgrade:
            super().on_message_complete()

    def _asks_for_an_unknown_protocol(self) -> bool:
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT" and not self._should_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """The same without the header: the parser has left the body out."""
        raised = sys.exception()
        if not self._ignores_upgrade or raised is None:
            super()._unsupported_upgrade_warning()
            return
        lines = b"".join([b"%s: %s\r\n" % header for header in self.headers if header[0] != b"upgrade"])
        start = self.parser.get_method(), self.url, self.parser.get_http_version().encode(), lines
        self._replay_data = b"%s %s HTTP/%s\r\n%s\r\n" % start + self.data[raised.args[0] :]

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)
