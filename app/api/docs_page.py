"""The interactive API documentation at `/docs`.

FastAPI's own page loads its assets from three other hosts. This one serves them from the package `fastapi-offline`, and a content
security policy stops the browser from contacting any other host. The policy names the page's script by its hash.
"""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import fastapi_offline
from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
from starlette.responses import HTMLResponse

ASSETS_PATH = "/docs/assets"
_ASSETS = Path(fastapi_offline.__file__).parent / "static"
_POLICY = (
    "default-src 'self'; script-src 'self' '{script}'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors 'none'"
)
_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def install(app: FastAPI) -> None:
    """Add the page and its assets to `app`."""
    app.mount(ASSETS_PATH, StaticFiles(directory=_ASSETS), name="docs-assets")
    app.add_api_route("/docs", _page, include_in_schema=False)


async def _page(request: Request) -> HTMLResponse:
    root = request.scope.get("root_path", "")
    page = get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title=f"{request.app.title} API",
        swagger_js_url=f"{root}{ASSETS_PATH}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{ASSETS_PATH}/swagger-ui.css",
        swagger_favicon_url=f"{root}{ASSETS_PATH}/favicon.png",
        swagger_ui_parameters={"validatorUrl": None},  # by default Swagger UI sends the document to a public validator
    )
    page.headers["Content-Security-Policy"] = _POLICY.format(script=_hash_of_script(bytes(page.body)))
    return page


def _hash_of_script(page: bytes) -> str:
    script = _INLINE_SCRIPT.search(page)
    assert script is not None
    return f"sha256-{b64encode(sha256(script[1]).digest()).decode()}"
