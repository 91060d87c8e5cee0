"""The ASGI application of the service."""

from typing import Any

from anyio import BrokenResourceError
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send


class IsthmusApp(FastAPI):
    """FastAPI behind `front`, an ASGI app that sees every request first. By default `front` is FastAPI itself."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.front: ASGIApp = self.call_fastapi

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.front(scope, receive, send)

    async def call_fastapi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request with FastAPI and ignore a client that disconnects while an event is sent to it."""
        try:
            await super().__call__(scope, receive, send)
        except* BrokenResourceError:
            pass
