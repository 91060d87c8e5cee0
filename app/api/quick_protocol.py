"""uvicorn's protocol, with answers at once for the prediction requests that allow it.

Context: a task, a cycle of messages and their checks take uvicorn longer than a small network runs. Decision: a small body is
held back until it is whole and shown to `HotPath.at_once`; what that answers is written there and then. Consequences: anything
else - other paths, large or chunked bodies, pipelined requests behind one that is not answered yet, connections that are to be
closed - goes uvicorn's own way from its headers on, as if it had only just come.
"""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from app.api.hot import Head, Isthmus
from app.api.short import PREFIXES

MOST_BYTES = 8192
"""Of a body that is held back: to read it a second time, where it must be, costs next to nothing."""


class QuickProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        assert isinstance(config.app, Isthmus)
        self._hot = config.app.hot
        self._held: bytes | None = None
        self._common: Head | None = None
        self._start = b""

    def on_headers_complete(self) -> None:
        if self.url.startswith(PREFIXES) and self._can_be_held():
            self._held = b""
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._held is None:
            super().on_body(body)
        else:
            self._held += body

    def on_message_complete(self) -> None:
        if self._held is not None:
            answer = self._hot.at_once(self.url, dict(self.headers), self._held)
            if answer is not None:
                self._held = None
                self._write(*answer)
                self.on_response_complete()
                return
            self._let_go(self._held)
        super().on_message_complete()

    def shutdown(self) -> None:
        if self._held is not None:
            self._let_go(self._held)
        super().shutdown()

    def _can_be_held(self) -> bool:
        """A POST of a small body on a connection that lasts and where nothing else is under way."""
        parser, size = self.parser, dict(self.headers).get(b"content-length")
        return (
            size is not None
            and int(size) <= MOST_BYTES
            and (self.cycle is None or self.cycle.response_complete)
            and not (self.expect_100_continue or self.flow.write_paused or parser.should_upgrade())
            and parser.get_method() == b"POST"
            and parser.should_keep_alive()
            and parser.get_http_version() == "1.1"
        )

    def _let_go(self, held: bytes) -> None:
        """The same request uvicorn's way."""
        self._held = None
        super().on_headers_complete()
        if held:
            super().on_body(held)

    def _write(self, headers: Head, body: bytes) -> None:
        common = self.server_state.default_headers
        if common is not self._common:  # a new list comes with each new second
            self._common, self._start = common, b"HTTP/1.1 200 OK\r\n" + _lines(common)
        self.transport.write(b"%s%s\r\n%s" % (self._start, _lines(headers), body))


def _lines(headers: Head) -> bytes:
    return b"".join([b"%s: %s\r\n" % header for header in headers])
