"""uvicorn's protocol with four fixes.

Context: uvicorn keeps reading a connection while requests wait on it, so that thousands can pile up. It loses the body of a
request that asks for an upgrade to HTTP/2 (https://github.com/Kludex/uvicorn/issues/2722). When a client disconnects, it notifies
only the last of the pipelined requests. It adds the trailers of a body to the headers, which were checked before. Decision: a
connection is read no faster than its requests are answered. A request for another protocol is ignored, as RFC 9110, 7.8
allows, and the request keeps its body. The running request is notified. Trailers are dropped. Consequences: this code depends on
private names of uvicorn, whose version is therefore bounded in pyproject.toml.
"""

import asyncio
from collections.abc import Sized
from typing import Any

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.errors import MalformedRequest, ServiceError


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
        self.is_between, self.is_in_head = True, False
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
        self._unset_keepalive_if_required()
        while data and not self.transport.is_closing():
            self.data, self.is_start, self._replay_data = data, self.is_between, b""
            self._parse(data)
            data = self._replay_data
        self.data = b""

    def refuse(self, error: ServiceError) -> None:
        """Answer with an error, and close the connection."""
        raise NotImplementedError

    def error_of(self, parser_error: httptools.HttpParserError) -> ServiceError:
        """Return the error of data that cannot be parsed."""
        return MalformedRequest()

    def on_message_begin(self) -> None:
        self.is_between, self.is_in_head = False, True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self.is_in_head = False
        self._ignores_upgrade = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if not self._ignores_upgrade:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        self.is_between = True
        if not self._ignores_upgrade:
            super().on_message_complete()

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._replay_without_upgrade(upgrade.args[0])
        except httptools.HttpParserError as error:
            self.refuse(self.error_of(error))

    def _replay_without_upgrade(self, end_of_head: int) -> None:
        """Parse the request again without its `Upgrade` headers, because the parser has skipped the body."""
        if not self._ignores_upgrade:
            self.refuse(MalformedRequest())
            return
        lines = b"".join([b"%s: %s\r\n" % header for header in self.headers if header[0] != b"upgrade"])
        start = self.parser.get_method(), self.url, self.parser.get_http_version().encode(), lines
        self._replay_data = b"%s %s HTTP/%s\r\n%s\r\n" % start + self.data[end_of_head:]

    def _should_upgrade_to_ws(self) -> bool:
        return False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)
