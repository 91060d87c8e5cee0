"""Error responses as RFC 9457 problem documents."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError, TimeoutError
from starlette.exceptions import HTTPException
from starlette.status import HTTP_204_NO_CONTENT

from app.api.authorization import record_refusal
from app.api.security_headers import SECURITY_HEADERS
from app.db import outages
from app.errors import (
    FieldError,
    Forbidden,
    InsufficientStorage,
    InvalidRequest,
    ServiceError,
    ServiceUnavailable,
    Unauthenticated,
    UploadTooLarge,
)
from app.schemas.problem_details import InvalidField, Problem
from app.settings import Settings
from app.storage.disk_space import ADVICE, is_disk_full

log = structlog.get_logger()


def install(app: FastAPI) -> None:
    """Replace all default error responses of `app`."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(DBAPIError, _database_error)
    app.add_exception_handler(TimeoutError, _database_error)
    app.add_exception_handler(OSError, _os_error)
    app.add_exception_handler(Exception, _unexpected_error)


def problem(request: Request, error: ServiceError, extensions: Mapping[str, object] | None = None) -> JSONResponse:
    """Return the response for an error. `extensions` are additional members of the document."""
    members = {**oip_error_member(request.url.path, error.message), **(extensions or {})}
    return problem_response(error, _request_id(request), members)


def oip_error_member(path: str, detail: str) -> dict[str, str]:
    """Return the member that clients of the Open Inference Protocol expect."""
    return {"error": detail} if path.startswith("/v2") else {}


def problem_response(error: ServiceError, request_id: str | None, extensions: Mapping[str, object] | None = None) -> JSONResponse:
    """Return the response for an error, also for a request that FastAPI did not handle."""
    document = Problem(
        type=_type(error.code()),
        title=(type(error).__doc__ or "").strip(),
        status=error.status,
        code=error.code(),
        detail=error.message,
        errors=[InvalidField(pointer=e.pointer, detail=e.detail) for e in error.errors],
        request_id=request_id,
    )
    return _response(document, error.headers, extensions)


def _response(document: Problem, headers: Mapping[str, str], extensions: Mapping[str, object] | None = None) -> JSONResponse:
    defaults = dict(SECURITY_HEADERS)
    if document.status == 503:
        defaults["Retry-After"] = "5"
    if document.request_id:  # the middleware that sets this header does not see unexpected errors
        defaults["X-Request-ID"] = document.request_id
    content = document.model_dump() | dict(extensions or {})
    return JSONResponse(content, document.status, {**defaults, **headers}, media_type="application/problem+json")


def _type(code: str) -> str:
    return f"urn:isthmus:problem:{code}"


def _request_id(request: Request) -> str | None:
    return getattr(request.state, "request_id", None)


async def _service_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)
    if isinstance(error, Forbidden | Unauthenticated):
        await record_refusal(request, error)
    return problem(request, error)


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [FieldError(pointer_of(e, error.body), _detail(e)) for e in error.errors()]
    return problem(request, InvalidRequest(errors=errors))


def _detail(error: Mapping[str, Any]) -> str:
    """Return the message of an error; for invalid JSON, with the reason and the position."""
    reason = error.get("ctx", {}).get("error")
    if error["type"] == "json_invalid" and reason:
        return f"not JSON, character {error['loc'][-1]}: {reason}"
    return str(error["msg"])


def pointer_of(error: Mapping[str, Any], body: Any) -> str:
    """Return the RFC 6901 pointer to an invalid value of the JSON body (`/params/epochs`), or `/query/...`, `/header/...`.

    Pydantic inserts the tags of unions into the location; tags that are not keys of the body are skipped.
    """
    location = error["loc"]
    if location[0] != "body":
        return _join(location)
    keys: list[str | int] = []
    for key in location[1:]:
        if key in body if isinstance(body, dict) else isinstance(body, list) and isinstance(key, int):
            body = body[key]
            keys.append(key)
    return _join([*keys, location[-1]] if error["type"] == "missing" and len(location) > 1 else keys)


def _join(keys: Sequence[str | int]) -> str:
    printable = (str(key).encode(errors="replace").decode() for key in keys)
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in printable)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTP_204_NO_CONTENT:
        return Response(status_code=HTTP_204_NO_CONTENT)
    if error.status_code == 400 and isinstance(error.__cause__, ValueError | RecursionError):  # FastAPI could not parse it
        return problem(request, InvalidRequest(errors=[FieldError("", f"not JSON: {error.__cause__}")]))
    code = {404: "not_found", 405: "method_not_allowed", 413: UploadTooLarge.code()}.get(error.status_code, "http_error")
    detail = str(error.detail)
    document = Problem(
        type=_type(code),
        title=detail,
        status=error.status_code,
        code=code,
        detail=detail,
        errors=[],
        request_id=_request_id(request),
    )
    return _response(document, error.headers or {}, oip_error_member(request.url.path, detail))


async def _database_error(request: Request, error: Exception) -> JSONResponse:
    log.error("database.error", error=str(error))
    if outages.is_disk_full(error):
        return problem(request, InsufficientStorage(f"The disk of the database is full. {ADVICE}"))
    if outages.is_outage(error):
        return problem(request, ServiceUnavailable("The database is unreachable. Try again later."))
    return problem(request, ServiceError())


async def _os_error(request: Request, error: Exception) -> JSONResponse:
    if not is_disk_full(error):
        raise error  # unexpected, as any other exception
    log.error("disk.full", error=str(error))
    settings: Settings = request.app.state.settings
    return problem(request, settings.disk_space.full_error())


async def _unexpected_error(request: Request, error: Exception) -> JSONResponse:
    return problem(request, closing_error())  # the server raises it again after the response and logs its traceback


def closing_error() -> ServiceError:
    """Return the error of a request that failed unexpectedly. The server then closes the connection, which it announces."""
    return ServiceError(headers={"Connection": "close"})
