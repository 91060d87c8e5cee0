"""Middleware of every request: an id, a log line, metrics, and a limit of its body. Plain ASGI, so that it buffers nothing."""

import re
import uuid
from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeVar

import structlog
from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.security_headers import add_security_headers
from app.observability.metrics import REQUEST_SECONDS, REQUESTS

log = structlog.get_logger("isthmus.access")
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

HEADER = "X-Request-ID"
MAX_BODY_BYTES = 1024 * 1024
VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
MAX_LOGGED_PATH = 256
_QUIET_PREFIXES = ("/health/", "/metrics")


def own_body_limit(endpoint: Endpoint) -> Endpoint:
    """Exempt a route from `MAX_BODY_BYTES`. It has to read its body in chunks and enforce a limit of its own."""
    endpoint.__dict__["has_own_body_limit"] = True
    return endpoint


class BodySizeLimit:
    """Limit of all bodies that FastAPI reads into memory. Routes marked with `own_body_limit` are exempt."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, _limit(scope, receive) if scope["type"] == "http" else receive, send)


def _limit(scope: Scope, receive: Receive) -> Receive:
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        # the router has set the endpoint before anything reads the body
        if received > MAX_BODY_BYTES and not getattr(scope.get("endpoint"), "has_own_body_limit", False):
            raise HTTPException(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
        return message

    return receive_limited


class RequestContext:
    """Request ids. A valid `X-Request-ID` is kept, else a new id is made; log lines and the response carry it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        recorder = _RequestRecorder(scope, request_id, send)
        try:
            await self.app(scope, receive, recorder.send)
        finally:
            recorder.finish()


class _RequestRecorder:
    """Status and duration of one request."""

    def __init__(self, scope: Scope, request_id: str, send: Send) -> None:
        self.scope, self.request_id, self._send = scope, request_id, send
        self.start = perf_counter()
        self.status = 500  # an error that leaves the app before its response becomes a 500 in an outer layer
        self.seconds: float | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.seconds = message["status"], perf_counter() - self.start
            headers = MutableHeaders(scope=message)
            headers[HEADER] = self.request_id
            add_security_headers(headers)
        await self._send(message)

    def finish(self) -> None:
        """Count the request and log it. The metric measures the time to the start of the response, the log line to its end."""
        total = perf_counter() - self.start
        method, route, path = self.scope["method"], _route(self.scope), self.scope["path"]
        REQUESTS.labels(method, route, self.status).inc()
        REQUEST_SECONDS.labels(method, route).observe(self.seconds or total)
        write = log.debug if path.startswith(_QUIET_PREFIXES) and self.status < 400 else log.info
        client = (self.scope.get("client") or ("",))[0]
        write(
            "request",
            method=method,
            path=path[:MAX_LOGGED_PATH],
            route=route,
            status=self.status,
            seconds=round(total, 4),
            client=client,
        )


def request_id_of(scope: Scope) -> str:
    """Return the id that the client gave if it is valid, else a new one."""
    given = Headers(scope=scope).get(HEADER, "")
    return given if VALID_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _route(scope: Scope) -> str:
    """Return the path template; a metric label for each path would grow without limit."""
    return getattr(scope.get("route"), "path", None) or "unmatched"
