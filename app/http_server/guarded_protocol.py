"""uvicorn's protocol with limits for request heads, slow clients and the number of connections.

Context: uvicorn's parser accepts heads of any size, and joins a growing header anew for each piece that arrives. uvicorn
closes a connection at the client's end of data, although the client may still read. Decision: this class counts the bytes that
complete nothing, and refuses the request when they exceed the limit of a head. After an error response it discards data for a
moment, because closing at once could destroy the response on its way. A client that ended its side gets the responses it waits
for. Consequences: the end of data is no longer the sign that a client has left. The server sends an interim response instead,
after which the system reports an error if the client has left.
"""

import asyncio
import socket
from typing import Any

import httptools

from app.errors import RequestHeadTooLarge, RequestTimeout, ServiceError, UnsupportedTransferEncoding
from app.http_server.connection_guard import ConnectionGuard
from app.http_server.refusal_response import refusal_response
from app.http_server.uvicorn_patches import PatchedHttpToolsProtocol
from app.observability.refusals import record_refusal

MAX_HEAD_BYTES, MAX_HEADERS = 64 * 1024, 100
HEAD_SECONDS = 10
"""Time for a complete head; the first begins with the connection."""
BODY_SECONDS, MIN_BODY_BYTES_PER_SECOND = 30, 1024
"""In each such period a body has to arrive at this rate, unless the server itself does not read."""
DISCARD_SECONDS = 2
HALF_CLOSED_SECONDS = 0.25
"""Time after the end of a client's data until the server checks whether the client has left."""
_INTERIM_RESPONSE = b"HTTP/1.1 100 Continue\r\n\r\n"


class GuardedProtocol(PatchedHttpToolsProtocol):
    """One connection with limits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._guard: ConnectionGuard = self.config.app.state.connections  # type: ignore[union-attr]
        self._error: ServiceError | None = None
        self._refused_at: int | None = None
        self._has_had_request = self._receives_body = self._is_half_closed = False
        self.has_progress = False
        self._bytes_without_progress = self._phase_bytes = 0
        self._phase_started_at = self._guard.seconds

    @property
    def address(self) -> str:
        """Address of the client."""
        return self.client[0] if self.client else ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        error = self._guard.add(self)
        if error is not None:
            self.refuse(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._guard.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused_at is not None:
            return
        self.has_progress = False
        self._phase_bytes += len(data)
        super().data_received(data)
        self._bytes_without_progress = 0 if self.has_progress else self._bytes_without_progress + len(data)
        if self._bytes_without_progress > MAX_HEAD_BYTES:
            self.refuse(RequestHeadTooLarge())

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Keep the connection open while complete requests wait for their responses."""
        if not self._is_answering() or self.cycle.more_body:
            return None
        self.cycle.keep_alive = False
        self._is_half_closed = True
        self.loop.call_later(HALF_CLOSED_SECONDS, self._provoke_reset)
        return True

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._receives_body = False
        self._start_phase(len(self.data))

    def on_headers_complete(self) -> None:
        self.note_head()
        if any(name == b"transfer-encoding" and value.lower() != b"chunked" for name, value in self.headers):
            self._fail(UnsupportedTransferEncoding())
        super().on_headers_complete()
        self._receives_body = not self._ignores_upgrade

    def on_body(self, body: bytes) -> None:
        self.has_progress = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.has_progress = True
        self._receives_body = False
        super().on_message_complete()

    def note_head(self) -> None:
        """Check the size of a complete head, and begin the time of its body."""
        if len(self.headers) > MAX_HEADERS or (self._phase_bytes > MAX_HEAD_BYTES and self._head_size() > MAX_HEAD_BYTES):
            self._fail(RequestHeadTooLarge())
        self.is_in_head, self.has_progress, self._has_had_request = False, True, True
        self._start_phase(0)

    def error_of(self, parser_error: httptools.HttpParserError) -> ServiceError:
        return self._error or super().error_of(parser_error)

    def awaits_first_request(self) -> bool:
        """Return whether no complete head has arrived on this connection."""
        return not self._has_had_request and self._refused_at is None

    def refuse(self, error: ServiceError) -> None:
        """Answer with an error, and close the connection. Responses of earlier requests come first."""
        if self._refused_at is not None or self.transport.is_closing():
            return
        record_refusal(error.code(), self.address)
        self._refused_at, self.is_between = self._guard.seconds, False
        if self._guard.is_flooded():
            self.transport.abort()
        elif self._receives_body:
            self._refuse_body(error)
        elif self._is_answering():
            self._error = error
        else:
            self._send_refusal(error)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._refused_at is not None and self._error is not None and not self._is_answering():
            self._send_refusal(self._error)

    def enforce_deadlines(self) -> None:
        """Refuse the request under way if it is too slow; close a connection whose client has left."""
        elapsed = self._guard.seconds - self._phase_started_at
        if self._refused_at is not None:
            if self._guard.seconds - self._refused_at > DISCARD_SECONDS and not self._is_answering():
                self.transport.abort()
        elif self._is_half_closed:
            self._abort_if_reset()
        elif self.is_in_head or self.awaits_first_request():
            if elapsed > HEAD_SECONDS and not self._is_answering():
                self.refuse(RequestTimeout())
        elif not self.is_between:
            self._enforce_body_rate(elapsed)
        elif self.timeout_keep_alive_task is None and not self._is_answering():
            # bytes between requests, such as empty lines, have stopped the timer
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _enforce_body_rate(self, elapsed: int) -> None:
        is_reading = not self.flow.read_paused and not (self._receives_body and self.cycle.waiting_for_100_continue)
        if not is_reading:
            self._start_phase(0)
        elif elapsed >= BODY_SECONDS:
            if self._phase_bytes < elapsed * MIN_BODY_BYTES_PER_SECOND:
                self.refuse(RequestTimeout())
            self._start_phase(0)

    def _start_phase(self, received: int) -> None:
        self._phase_started_at, self._phase_bytes = self._guard.seconds, received

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _fail(self, error: ServiceError) -> None:
        """Stop the parser, within one of its callbacks."""
        self._error = error
        raise error

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse_body(self, error: ServiceError) -> None:
        """Notify the application that the rest of the body will not come. Answer for it if it has not begun to answer."""
        can_answer = self._running is self.cycle and not self.cycle.response_started
        self.cycle.disconnected = self.cycle.response_complete = True
        self.cycle.message_event.set()
        if can_answer:
            self._send_refusal(error)
        else:
            self.transport.close()

    def _send_refusal(self, error: ServiceError) -> None:
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self._refused_at = self._guard.seconds
        path = getattr(self, "url", b"").decode("latin-1")
        self.transport.write(refusal_response(error, path, self.server_state.default_headers))
        self.transport.write_eof()

    def _provoke_reset(self) -> None:
        """Send something to a client that has ended its side, to which the system of a client that has left objects."""
        cycle = self._running
        if cycle is None or self.transport.is_closing():
            return
        if not cycle.response_started and cycle.scope["http_version"] == "1.1":
            self.transport.write(_INTERIM_RESPONSE)
        self.loop.call_later(HALF_CLOSED_SECONDS, self._abort_if_reset)

    def _abort_if_reset(self) -> None:
        if self.transport.is_closing():
            return
        connection: socket.socket = self.transport.get_extra_info("socket")
        if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.transport.abort()
