"""The bytes of an error response, for requests that no application sees."""

from collections.abc import Iterable
from secrets import token_hex

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.api.problem_details import oip_error_member, problem_response
from app.errors import ServiceError


def refusal_response(error: ServiceError, path: str, default_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a problem document as an HTTP/1.1 response that announces the end of the connection."""
    response = problem_response(error, token_hex(16), oip_error_member(path, error.message))
    headers = [*default_headers, *response.raw_headers, (b"connection", b"close")]
    lines = b"".join(b"%s: %s\r\n" % header for header in headers)
    return b"%s%s\r\n%s" % (STATUS_LINE[error.status], lines, bytes(response.body))
