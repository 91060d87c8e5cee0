"""uvicorn's protocol, with answers at once for the prediction requests that allow it.

Context: a task, a cycle of messages and their checks take uvicorn longer than a small network runs. Decision: a small body is
held back until it is whole and shown to `FastPath.at_once`; what that answers leaves with the other answers of this round of the
loop. The next request whose head is the same, byte for byte, means the same: it is not parsed again. Consequences: anything
else - other paths, large or chunked bodies, pipelined requests behind one that is not answered yet, connections that are to be
closed - goes uvicorn's own way from its headers on, as if it had only just come.
"""

import asyncio
from time import monotonic
from typing import Any

from app.fast_path.asgi import IsthmusApp, content_type, request_id
from app.fast_path.routing import LENGTH, PREFIXES, CachedRequestHead, FastRoute, first_by_name
from app.fast_path.uvicorn_patches import PatchedHttpToolsProtocol
from app.serving.responses import EncodedResponse

MOST_BYTES = 64 * 1024
"""Of a body that is held back: uvicorn takes as many of a request that waits."""
MAX_CACHED_HEADS, MAX_HEAD_BYTES = 1024, 1024
"""Beyond so many, all are parsed again; a head of more bytes is always parsed."""
_END = b"\r\n\r\n"


class FastPathProtocol(PatchedHttpToolsProtocol):
    """One connection."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        app = self.config.app
        assert isinstance(app, IsthmusApp)
        self._hot, self._heads, self._outbox = app.hot, app.hot.parsed_heads, app.hot.outbox
        self._buffering_allowed = True
        self._asked: FastRoute | None = None
        self._buffer = b""
        self._answered_at = 0.0
        self._common: list[tuple[bytes, bytes]] | None = None
        self._start = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._hot.turns.on_connect()

    def data_received(self, data: bytes) -> None:
        self._buffering_allowed = True
        if self.is_between and self._is_idle():
            end = data.find(_END, 0, MAX_HEAD_BYTES) + len(_END)
            known = self._heads.get(data[:end])
            if known is not None and len(data) == end + known.size:
                if self._answer(known.asked, data[end:], None):
                    return
                self._buffering_allowed = False  # it has been tried
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._unset_keepalive_if_required()  # an answer at once to what came before in the same data has set it
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self.url.startswith(PREFIXES) and self._can_buffer():
            self._asked, self._buffer = self._hot.match(self.url, first_by_name(self.headers)), b""
        if self._asked is None:
            self._outbox.flush()
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._asked is None:
            super().on_body(body)
        else:
            self._buffer += body

    def on_message_complete(self) -> None:
        if self._asked is not None:
            given = first_by_name(self.headers).get(b"x-request-id")
            if self._answer(self._asked, self._buffer, given):
                if given is None:
                    self._cache_head(self._asked, len(self._buffer))
                self._asked, self.is_between = None, True
                return
            self._fall_back()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._outbox.flush()
        super().send_400_response(msg)

    def shutdown(self) -> None:
        if self._asked is not None:
            self._fall_back()
        self._outbox.flush()
        super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """The timer is not set anew for every answer at once: the last one counts when it goes off."""
        left = self._answered_at + self.timeout_keep_alive - monotonic()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def _can_buffer(self) -> bool:
        """A POST of a small body on a connection that lasts and where nothing else is under way."""
        parser, size = self.parser, dict(self.headers).get(b"content-length")
        return (
            size is not None
            and int(size) <= MOST_BYTES
            and self._buffering_allowed
            and self._is_idle()
            and not (self.expect_100_continue or parser.should_upgrade())
            and parser.get_method() == b"POST"
            and parser.should_keep_alive()
            and parser.get_http_version() == "1.1"
        )

    def _is_idle(self) -> bool:
        return (self.cycle is None or self.cycle.response_complete) and not self.flow.write_paused

    def _cache_head(self, asked: FastRoute, size: int) -> None:
        """The head, where the data held this one request and nothing else."""
        end = self.data.find(_END) + len(_END)
        if self.is_start and len(self.data) == end + size and end <= MAX_HEAD_BYTES:
            if len(self._heads) >= MAX_CACHED_HEADS:
                self._heads.clear()
            self._heads[self.data[:end]] = CachedRequestHead(asked, size)

    def _fall_back(self) -> None:
        """The same request uvicorn's way."""
        self._asked = None
        self._outbox.flush()
        super().on_headers_complete()
        if self._buffer:
            super().on_body(self._buffer)

    def _answer(self, asked: FastRoute, body: bytes, given_id: bytes | None) -> bool:
        """Whether it could be answered at once, and was."""
        begun = monotonic()
        answer = self._hot.try_answer_sync(asked, body)
        if answer is None:
            return False
        self._outbox.write(self.transport, self._serialize(answer, given_id), begun)
        self._answered_at = begun
        self.server_state.total_requests += 1
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        return True

    def _serialize(self, answer: EncodedResponse, given_id: bytes | None) -> bytes:
        common = self.server_state.default_headers
        if common is not self._common:  # a new list comes with each new second
            lines = b"".join([b"%s: %s\r\n" % header for header in common])
            self._common, self._start = common, b"HTTP/1.1 200 OK\r\n" + lines
        length = b"" if answer.json_bytes is None else b"%s: %d\r\n" % (LENGTH, answer.json_bytes)
        return b"%scontent-type: %s\r\ncontent-length: %d\r\nx-request-id: %s\r\n%s\r\n%s" % (
            self._start,
            content_type(answer),
            len(answer.content),
            request_id(given_id),
            length,
            answer.content,
        )
