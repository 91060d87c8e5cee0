"""Errors of the client: one class for each kind of HTTP status, and those of jobs and connections."""

from collections.abc import Mapping, Sequence
from typing import Any


class IsthmusError(Exception):
    """Base class of all errors of this client."""


class ConnectionFailedError(IsthmusError):
    """The service cannot be reached."""


class APIStatusError(IsthmusError):
    """An error response. `code` is stable; `errors` names invalid fields, rows or files by JSON pointers."""

    def __init__(self, status: int, problem: Mapping[str, Any], request_id: str | None) -> None:
        self.status = status
        self.code: str = problem.get("code") or f"http_{status}"
        self.errors: Sequence[Mapping[str, str]] = problem.get("errors") or []
        self.request_id: str | None = problem.get("request_id") or request_id
        self.detail: str = problem.get("detail") or problem.get("title") or "The response has no description."
        super().__init__(f"{self.detail} ({status} {self.code}, request {self.request_id})")


class BadRequestError(APIStatusError):
    """The service rejects the request (400, 413, 415 and other statuses without a class of their own)."""


class AuthenticationError(APIStatusError):
    """The API key is missing or invalid (401)."""


class PermissionDeniedError(APIStatusError):
    """The API key does not allow this (403)."""


class NotFoundError(APIStatusError):
    """There is no such object (404)."""


class ConflictError(APIStatusError):
    """The state of the object does not allow this (409)."""


class UnprocessableError(APIStatusError):
    """The request or the uploaded file is invalid (422)."""


class RateLimitError(APIStatusError):
    """A rate limit or quota is reached (429)."""


class ServerError(APIStatusError):
    """The service failed or is overloaded (5xx)."""


class JobFailedError(IsthmusError):
    """A job failed or was cancelled. `job` is its record."""

    def __init__(self, job: Any) -> None:
        self.job = job
        error = job.error or {"message": "there is no version"}
        super().__init__(f"Job {job.id} is {job.status}: {error['message']}")


_CLASSES: Mapping[int, type[APIStatusError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableError,
    429: RateLimitError,
}


def status_error(status: int, problem: Any, request_id: str | None) -> APIStatusError:
    """Return the error of a response; `problem` is its JSON, if it has any."""
    cls = _CLASSES.get(status, ServerError if status >= 500 else BadRequestError)
    return cls(status, problem if isinstance(problem, dict) else {}, request_id)
