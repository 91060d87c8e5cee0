"""The fast path without FastAPI behind it, to see which requests it answers itself."""

from fastapi.testclient import TestClient
from starlette.types import Receive, Scope, Send

from app.api.application import IsthmusApp
from app.fast_path.asgi import FastPath

DECLINED = 418
"""Status of a request that the fast path passes on."""


async def decline(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond with `DECLINED` instead of FastAPI."""
    await send({"type": "http.response.start", "status": DECLINED, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


def app_of(client: TestClient) -> IsthmusApp:
    assert isinstance(client.app, IsthmusApp)
    return client.app


def isolate_fast_path(client: TestClient, max_bytes: int | None = None) -> None:
    """Replace FastAPI behind the fast path by `decline`."""
    app = app_of(client)
    settings = app.state.settings
    limits = max_bytes or settings.max_predict_bytes, settings.max_predict_inputs
    app.front = FastPath(decline, app.state.predictor, app.state.grants, *limits)
