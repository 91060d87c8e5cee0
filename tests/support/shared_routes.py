"""The routes of all apps of a test process, built once.

FastAPI builds the routes of an included router at the first request of each app, which takes 0.1 s and is most of a short test.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute


@contextmanager
def shared_routes() -> Iterator[None]:
    """Let every app that includes a router without options use the same routes inside the block."""
    include, built = FastAPI.include_router, dict[int, BaseRoute]()

    def include_router(app: FastAPI, router: APIRouter, **options: object) -> None:
        include(app, router, **options)  # type: ignore[arg-type]
        if not options:
            app.router.routes.append(built.setdefault(id(router), app.router.routes.pop()))

    with patch.object(FastAPI, "include_router", include_router):
        yield
