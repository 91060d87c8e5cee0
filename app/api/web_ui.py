"""The web UI at `/ui`, if it was built (`scripts.build_ui`). It is a client of the public API, like any other.

The content security policy forbids code and requests of other hosts. Images may be `data:` URLs, as thumbnails are.
"""

from pathlib import Path

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

BUILT = Path(__file__).parents[1] / "web"
POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; form-action 'self'"


class _Ui(StaticFiles):
    """The files of the UI. Names in `assets` contain a digest, so browsers may keep them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Content-Security-Policy"] = POLICY
        is_named_by_digest = path.startswith("assets/")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if is_named_by_digest else "no-cache"
        return response


def install(app: FastAPI, built: Path = BUILT) -> None:
    """Serve the UI, and redirect browsers from `/` to it. Without a build, add nothing."""
    if (built / "index.html").exists():
        app.mount("/ui", _Ui(directory=built, html=True), name="ui")
        app.add_api_route("/", _redirect, include_in_schema=False)


async def _redirect(request: Request) -> Response:
    if "text/html" not in request.headers.get("accept", ""):
        raise HTTPException(404)
    return RedirectResponse(f"{request.scope.get('root_path', '')}/ui/", 307)
