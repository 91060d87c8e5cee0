"""uvicorn's protocol, with synchronous responses to the prediction requests that allow it.

Context: a task, an ASGI message cycle and their checks take uvicorn longer than a small network runs. Decision: the protocol
buffers a small body until it is complete and passes it to `FastPath.try_answer_sync`. The response is written together with the
other responses of this event loop iteration. A request whose head equals a cached one, byte for byte, is not parsed again.
Consequences: every other request takes uvicorn's own way from its headers on, as if it had just arrived. That
includes other paths, large or chunked bodies, requests pipelined behind an unanswered one, and connections about to close.
"""

import asyncio
from time import monotonic
from typing import Any

from fastapi import FastAPI

from app.api.application import IsthmusApp
from app.api.origin_policy import source_of
from app.errors import ServiceError
from app.fast_path.asgi import FastPath, content_type, request_id
from app.fast_path.routing import LENGTH, PREFIXES, CachedRequestHead, FastRoute, first_by_name
from app.http_server.guarded_protocol import GuardedProtocol
from app.serving.responses import EncodedResponse

MAX_BUFFERED_BODY_BYTES = 64 * 1024
"""The same limit as uvicorn's for the body of a waiting request."""
MAX_CACHED_HEADS, MAX_HEAD_BYTES = 1024, 1024
"""A full cache is emptied; longer heads are not cached."""
_END_OF_HEAD = b"\r\n\r\n"


def http_protocol(app: FastAPI) -> type[GuardedProtocol]:
    """Return the protocol class with which uvicorn has to run `app`."""
    has_fast_path = isinstance(app, IsthmusApp) and isinstance(app.front, FastPath)
    return FastPathProtocol if has_fast_path else GuardedProtocol


class FastPathProtocol(GuardedProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        app = self.config.app
        assert isinstance(app, IsthmusApp)
        assert isinstance(app.front, FastPath)
        self._fast_path, self._heads, self._coalescer = app.front, app.front.parsed_heads, app.front.coalescer
        self._origin_policy = app.origin_policy
        self._buffering_allowed = True
        self._route: FastRoute | None = None
        self._buffer = b""
        self._last_response_at = 0.0
        self._default_headers: list[tuple[bytes, bytes]] | None = None
        self._response_start = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._fast_path.admission.on_connect()

    def data_received(self, data: bytes) -> None:
        self._buffering_allowed = True
        if self.is_between and self._is_idle():
            end = data.find(_END_OF_HEAD, 0, MAX_HEAD_BYTES) + len(_END_OF_HEAD)
            cached = self._heads.get(data[:end])
            if cached is not None and len(data) == end + cached.body_size:
                if self._answer(cached.route, data[end:], None):
                    return
                self._buffering_allowed = False  # the fast path has declined this request already
        super().data_received(data)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        self._coalescer.flush()
        return super().eof_received()

    def on_message_begin(self) -> None:
        self._unset_keepalive_if_required()  # a synchronous response to an earlier request of the same data has set it
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self.note_head()
        if self.url.startswith(PREFIXES) and self._can_buffer():
            self._route, self._buffer = self._fast_path.match(self.url, first_by_name(self.headers)), b""
        if self._route is None:
            self._coalescer.flush()
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._route is None:
            super().on_body(body)
        else:
            self.has_progress = True
            self._buffer += body

    def on_message_complete(self) -> None:
        if self._route is not None:
            given_id = first_by_name(self.headers).get(b"x-request-id")
            if self._answer(self._route, self._buffer, given_id):
                if given_id is None:
                    self._cache_head(self._route, len(self._buffer))
                self._route, self.is_between, self.has_progress = None, True, True
                return
            self._fall_back()
        super().on_message_complete()

    def awaits_first_request(self) -> bool:
        return not self._last_response_at and super().awaits_first_request()

    def refuse(self, error: ServiceError) -> None:
        self._route = None
        self._coalescer.flush()
        super().refuse(error)

    def shutdown(self) -> None:
        if self._route is not None:
            self._fall_back()
        self._coalescer.flush()
        super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it is idle for long enough. Synchronous responses do not restart the timer."""
        remaining = self._last_response_at + self.timeout_keep_alive - monotonic()
        if remaining > 0:
            self.timeout_keep_alive_task = self.loop.call_later(remaining, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def _can_buffer(self) -> bool:
        """Return whether this is an allowed POST with a small body on an idle connection that stays open."""
        parser, size = self.parser, dict(self.headers).get(b"content-length")
        return (
            size is not None
            and int(size) <= MAX_BUFFERED_BODY_BYTES
            and self._buffering_allowed
            and self._is_idle()
            and not (self.expect_100_continue or parser.should_upgrade())
            and parser.get_method() == b"POST"
            and parser.should_keep_alive()
            and parser.get_http_version() == "1.1"
            and self._origin_policy.check(source_of(self.headers, "POST", "1.1")) is None
        )

    def _is_idle(self) -> bool:
        return (self.cycle is None or self.cycle.response_complete) and not self.flow.write_paused

    def _cache_head(self, route: FastRoute, body_size: int) -> None:
        """Cache the head if the received data consists of exactly this request."""
        end = self.data.find(_END_OF_HEAD) + len(_END_OF_HEAD)
        if self.is_start and len(self.data) == end + body_size and end <= MAX_HEAD_BYTES:
            if len(self._heads) >= MAX_CACHED_HEADS:
                self._heads.clear()
            self._heads[self.data[:end]] = CachedRequestHead(route, body_size)

    def _fall_back(self) -> None:
        """Hand the buffered request to uvicorn."""
        self._route = None
        self._coalescer.flush()
        super().on_headers_complete()
        if self._buffer:
            super().on_body(self._buffer)

    def _answer(self, route: FastRoute, body: bytes, given_id: bytes | None) -> bool:
        """Answer the request synchronously and return True, or return False if that is impossible."""
        started = monotonic()
        response = self._fast_path.try_answer_sync(route, body)
        if response is None:
            return False
        self._coalescer.write(self.transport, self._serialize(response, given_id), started)
        self._last_response_at = started
        self.server_state.total_requests += 1
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        return True

    def _serialize(self, response: EncodedResponse, given_id: bytes | None) -> bytes:
        default_headers = self.server_state.default_headers
        if default_headers is not self._default_headers:  # uvicorn makes a new list every second, for the date
            lines = b"".join([b"%s: %s\r\n" % header for header in default_headers])
            self._default_headers, self._response_start = default_headers, b"HTTP/1.1 200 OK\r\n" + lines
        length = b"" if response.json_bytes is None else b"%s: %d\r\n" % (LENGTH, response.json_bytes)
        return b"%scontent-type: %s\r\ncontent-length: %d\r\nx-request-id: %s\r\n%s\r\n%s" % (
            self._response_start,
            content_type(response),
            len(response.content),
            request_id(given_id),
            length,
            response.content,
        )
