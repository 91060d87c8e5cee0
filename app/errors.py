"""One hierarchy of errors. The class carries the HTTP status and the stable code, the docstring is the default message."""

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One bad field, row, column or file. `pointer` is an RFC 6901 JSON pointer, or `/rows/7`, `/files/a~1b.png`."""

    pointer: str
    detail: str


class ServiceError(Exception):
    """Something went wrong."""

    status = 500

    def __init__(
        self, message: str | None = None, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        self.message = message or _first(errors) or inspect.getdoc(type(self)) or ""
        self.errors = list(errors)
        self.headers = dict(headers or {})
        super().__init__(self.message)

    @classmethod
    def code(cls) -> str:
        """The stable machine-readable name: `IllegalTransition` is `illegal_transition`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


def _first(errors: Sequence[FieldError]) -> str:
    more = f" (and {len(errors) - 3} more)" if len(errors) > 3 else ""
    return "; ".join(f"{place.pointer}: {place.detail}".removeprefix(": ") for place in errors[:3]) + more


class InvalidRequest(ServiceError):
    """The request is not valid."""

    status = 422


class InvalidDataset(ServiceError):
    """The uploaded file is not a valid dataset."""

    status = 422


class InvalidInputs(ServiceError):
    """The inputs do not fit the model."""

    status = 422


class IncompatibleDatasets(ServiceError):
    """The source and the other datasets of the job do not fit together."""

    status = 422


class IdempotencyConflict(ServiceError):
    """This idempotency key was used before with another request."""

    status = 422


class UploadTooLarge(ServiceError):
    """The body of the request is larger than this server accepts."""

    status = 413


class UnsupportedContentType(ServiceError):
    """The content type of the request is not supported here."""

    status = 415


class DatasetNotFound(ServiceError):
    """There is no such dataset."""

    status = 404


class DatasetInUse(ServiceError):
    """A job that has not ended uses this dataset."""

    status = 409


class JobNotFound(ServiceError):
    """There is no such job."""

    status = 404


class BatchPredictionNotFound(JobNotFound):
    """There is no such batch prediction."""


class BatchPredictionNotReady(ServiceError):
    """The prediction has not succeeded: there is no output."""

    status = 409


class IllegalTransition(ServiceError):
    """The job cannot go from its present status to the requested one."""

    status = 409


class ModelNotFound(ServiceError):
    """There is no such model, version or alias."""

    status = 404


class PrecisionNotFound(ModelNotFound):
    """The version has no graph of this precision."""


class ArtifactNotFound(ServiceError):
    """There is no such stored file."""

    status = 404


class RangeNotSatisfiable(ServiceError):
    """The file has no such bytes."""

    status = 416


class ArtifactCorrupt(ServiceError):
    """A stored file of this version is missing or damaged."""


class UnsupportedManifest(ArtifactCorrupt):
    """This release cannot read the manifest of the version."""


class ServiceUnavailable(ServiceError):
    """A part that this request needs is not reachable at the moment. Try again later."""

    status = 503


class Overloaded(ServiceUnavailable):
    """More requests wait than this server can answer in time. Try again."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, headers={"Retry-After": "1"})
