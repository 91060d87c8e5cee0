"""The ASGI application of the service."""

from typing import Any

from anyio import BrokenResourceError
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.middleware import request_id_of
from app.api.origin_policy import OriginPolicy, source_of
from app.api.problem_details import oip_error_member, problem_response
from app.errors import ServiceError
from app.observability.metrics import REQUESTS
from app.observability.refusals import record_refusal


class IsthmusApp(FastAPI):
    """FastAPI behind `front`, an ASGI app that sees every allowed request first. By default `front` is FastAPI itself."""

    def __init__(self, origin_policy: OriginPolicy, **options: Any) -> None:
        super().__init__(**options)
        self.origin_policy = origin_policy
        self.front: ASGIApp = self.call_fastapi

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = None
        if scope["type"] == "http":
            error = self.origin_policy.check(source_of(scope["headers"], scope["method"], scope["http_version"]))
        await (self.front if error is None else _refuse(error, scope))(scope, receive, send)

    async def call_fastapi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request with FastAPI and ignore a client that disconnects while an event is sent to it."""
        try:
            await super().__call__(scope, receive, send)
        except* BrokenResourceError:
            pass


def _refuse(error: ServiceError, scope: Scope) -> ASGIApp:
    """Count a request that is not allowed, and return its response."""
    REQUESTS.labels(scope["method"], "refused", error.status).inc()
    record_refusal(error.code(), (scope.get("client") or ("",))[0])
    return problem_response(error, request_id_of(scope), oip_error_member(scope["path"], error.message))
