"""Around every request: an id, one log line, metrics, a bound on its body. Plain ASGI, so that streams pass untouched."""

import re
import uuid
from time import perf_counter

import structlog
from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.observability.metrics import REQUEST_SECONDS, REQUESTS

log = structlog.get_logger("isthmus.access")

HEADER = "X-Request-ID"
MAX_BODY_BYTES = 1024 * 1024
UNLIMITED_PATHS = re.compile(r"/datasets|/predict|/invocations|/v2/models/.*/infer")
"""Their routes have bounds of their own."""
VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_QUIET = ("/health/", "/metrics")


class BodySizeLimit:
    """Bounds the body of every route that does not read its own piece by piece: FastAPI would hold all of it in memory."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        bounded = scope["type"] == "http" and not UNLIMITED_PATHS.fullmatch(scope["path"])
        await self.app(scope, _bounded(receive) if bounded else receive, send)


def _bounded(receive: Receive) -> Receive:
    received = 0

    async def receive_bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY_BYTES:
            raise HTTPException(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
        return message

    return receive_bounded


class RequestContext:
    """Takes a sane `X-Request-ID` over or makes one; binds it to every log line of the request and echoes it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        observed = _RequestRecorder(scope, request_id, send)
        try:
            await self.app(scope, receive, observed.send)
        finally:
            observed.finish()


class _RequestRecorder:
    """One request on its way: what it was answered, and when."""

    def __init__(self, scope: Scope, request_id: str, send: Send) -> None:
        self.scope, self.request_id, self._send = scope, request_id, send
        self.start = perf_counter()
        self.status = 500  # an error that leaves the app before it answers becomes a 500 further out
        self.seconds: float | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.seconds = message["status"], perf_counter() - self.start
            MutableHeaders(scope=message)[HEADER] = self.request_id
        await self._send(message)

    def finish(self) -> None:
        """The end of the answer: count it and write its line. Latency counts to the start, the line also to the end."""
        total = perf_counter() - self.start
        method, route = self.scope["method"], _route(self.scope)
        REQUESTS.labels(method, route, self.status).inc()
        REQUEST_SECONDS.labels(method, route).observe(self.seconds or total)
        path = self.scope["path"]
        write = log.debug if path.startswith(_QUIET) and self.status < 400 else log.info
        client = (self.scope.get("client") or ("",))[0]
        write("request", method=method, path=path, route=route, status=self.status, seconds=round(total, 4), client=client)


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get(HEADER, "")
    return given if VALID_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _route(scope: Scope) -> str:
    """The template, never the path: a label per job id would grow for ever."""
    return getattr(scope.get("route"), "path", None) or "unmatched"
