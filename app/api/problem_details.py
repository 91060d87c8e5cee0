"""Every error as an RFC 9457 problem document, mapped in this one place."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError, TimeoutError
from starlette.exceptions import HTTPException

from app.db.outages import is_outage
from app.errors import FieldError, InvalidRequest, ServiceError, ServiceUnavailable, UploadTooLarge
from app.schemas.problem_details import InvalidField, Problem

log = structlog.get_logger()


def install(app: FastAPI) -> None:
    """Replace every default error answer of `app`."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(DBAPIError, _database_error)
    app.add_exception_handler(TimeoutError, _database_error)
    app.add_exception_handler(Exception, _unexpected_error)


def problem(request: Request, error: ServiceError, more: Mapping[str, object] | None = None) -> JSONResponse:
    """The answer for one error. `more` are extension members of the document."""
    return problem_response(
        error, getattr(request.state, "request_id", None), {**oip_error_member(request.url.path, error.message), **(more or {})}
    )


def oip_error_member(path: str, detail: str) -> dict[str, str]:
    """The member that clients of the Open Inference Protocol look for."""
    return {"error": detail} if path.startswith("/v2") else {}


def problem_response(error: ServiceError, request_id: str | None, more: Mapping[str, object] | None = None) -> JSONResponse:
    """The answer for one error, to a request that did not come through FastAPI as well."""
    title = (type(error).__doc__ or "").strip()
    return _answer(request_id, error.status, error.code(), title, error.message, error.errors, error.headers, more)


def _answer(
    request_id: str | None,
    status: int,
    code: str,
    title: str,
    detail: str,
    errors: list[FieldError],
    headers: dict[str, str] | None = None,
    more: Mapping[str, object] | None = None,
) -> JSONResponse:
    body = Problem(
        type=f"urn:isthmus:problem:{code}",
        title=title,
        status=status,
        code=code,
        detail=detail,
        errors=[InvalidField(pointer=place.pointer, detail=place.detail) for place in errors],
        request_id=request_id,
    )
    extra = {"Retry-After": "5"} if status == 503 else {}
    if request_id:  # an unexpected error is answered outside the middleware that sets this header otherwise
        extra["X-Request-ID"] = request_id
    content = body.model_dump() | dict(more or {})
    return JSONResponse(content, status, headers=extra | (headers or {}), media_type="application/problem+json")


async def _service_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)
    return problem(request, error)


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    places = [FieldError(pointer_of(e, error.body), _detail(e)) for e in error.errors()]
    return problem(request, InvalidRequest(errors=places))


def _detail(error: Mapping[str, Any]) -> str:
    """What is wrong; FastAPI keeps why a body is not JSON, and where, apart from its message."""
    why = error.get("ctx", {}).get("error")
    return f"not JSON, character {error['loc'][-1]}: {why}" if error["type"] == "json_invalid" and why else str(error["msg"])


def pointer_of(error: Mapping[str, Any], body: Any) -> str:
    """The RFC 6901 pointer to a bad value of the JSON body (`/params/epochs`), or `/query/...`, `/path/...`, `/header/...`.

    Pydantic puts the tags of unions between the keys of the body; those that are not keys there are left out.
    """
    place = error["loc"]
    if place[0] != "body":
        return _joined(place)
    keys: list[str | int] = []
    for part in place[1:]:
        if part in body if isinstance(body, dict) else isinstance(body, list) and isinstance(part, int):
            body = body[part]
            keys.append(part)
    return _joined([*keys, place[-1]] if error["type"] == "missing" and len(place) > 1 else keys)


def _joined(parts: Sequence[str | int]) -> str:
    printable = (str(part).encode(errors="replace").decode() for part in parts)
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in printable)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed", 413: UploadTooLarge.code()}.get(error.status_code, "http_error")
    request_id = getattr(request.state, "request_id", None)
    more, detail = oip_error_member(request.url.path, str(error.detail)), str(error.detail)
    return _answer(request_id, error.status_code, code, detail, detail, [], dict(error.headers or {}), more)


async def _database_error(request: Request, error: Exception) -> JSONResponse:
    log.error("database.error", error=str(error))
    if is_outage(error):
        return problem(request, ServiceUnavailable("The database is not reachable."))
    return problem(request, ServiceError())


async def _unexpected_error(request: Request, error: Exception) -> JSONResponse:
    return problem(request, ServiceError())  # the server raises it again after the answer, and logs it with its traceback
