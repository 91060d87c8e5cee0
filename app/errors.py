"""The hierarchy of errors that clients see, each with its HTTP status and a stable public code.

A class is named after the problem, not `...Error`: the name in snake case is the public code, and the docstring is the default
message and the title of the problem document.
"""

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_MAX_ERRORS_IN_MESSAGE = 3


@dataclass(frozen=True, slots=True)
class FieldError:
    """An invalid field, row, column or file. `pointer` is an RFC 6901 JSON pointer, or `/rows/7`, `/files/a~1b.png`."""

    pointer: str
    detail: str


class ServiceError(Exception):
    """An unexpected error occurred. The log of the server has the details."""

    status = 500

    def __init__(
        self, message: str | None = None, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        self.message = message or _summarize(errors) or inspect.getdoc(type(self)) or ""
        self.errors = list(errors)
        self.headers = dict(headers or {})
        super().__init__(self.message)

    @classmethod
    def code(cls) -> str:
        """Return the stable machine-readable name: `illegal_transition` for `IllegalTransition`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


def _summarize(errors: Sequence[FieldError]) -> str:
    omitted = len(errors) - _MAX_ERRORS_IN_MESSAGE
    more = f" (and {omitted} more)" if omitted > 0 else ""
    return "; ".join(f"{e.pointer}: {e.detail}".removeprefix(": ") for e in errors[:_MAX_ERRORS_IN_MESSAGE]) + more


class Unauthenticated(ServiceError):
    """This route needs a valid API key. Send it as `Authorization: Bearer KEY`."""

    status = 401

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(ServiceError):
    """The API key does not allow this request."""

    status = 403


class QuotaExceeded(ServiceError):
    """The project has reached one of its quotas."""

    status = 403


class RateLimited(ServiceError):
    """The caller sends more requests than its rate limit allows. Try again later."""

    status = 429


class InvalidRequest(ServiceError):
    """The request is invalid."""

    status = 422


class InvalidDataset(ServiceError):
    """The uploaded file is not a valid dataset."""

    status = 422


class InvalidInputs(ServiceError):
    """The inputs do not match the inputs of the model."""

    status = 422


class IncompatibleDatasets(ServiceError):
    """The datasets of the job are incompatible with each other."""

    status = 422


class IdempotencyConflict(ServiceError):
    """This idempotency key was used before with a different request."""

    status = 422


class MalformedRequest(ServiceError):
    """The request is not valid HTTP."""

    status = 400


class InvalidHost(MalformedRequest):
    """The request needs exactly one valid Host header."""


class HostNotAllowed(ServiceError):
    """The server does not answer requests to this host. Use its IP address, or add the host to ISTHMUS_HOSTS."""

    status = 403


class CrossSiteRequest(ServiceError):
    """The request comes from a web page of another origin. Add that origin to ISTHMUS_ORIGINS to allow it."""

    status = 403


class RequestTimeout(ServiceError):
    """The request did not arrive in time. Send it again on a new connection."""

    status = 408


class RequestHeadTooLarge(ServiceError):
    """The request line and the headers are too large. Send fewer or shorter headers."""

    status = 431


class UnsupportedTransferEncoding(ServiceError):
    """The server supports no transfer encoding except chunked."""

    status = 501


class UploadTooLarge(ServiceError):
    """The request body exceeds the limit of this server."""

    status = 413


class UnsupportedContentType(ServiceError):
    """This route does not support the content type of the request."""

    status = 415


class UnsupportedContentEncoding(ServiceError):
    """This route does not support the content encoding of the request. Send gzip, deflate or an uncompressed body."""

    status = 415

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, headers={"Accept-Encoding": "gzip, deflate, identity"})


class DatasetNotFound(ServiceError):
    """The dataset does not exist."""

    status = 404


class DatasetInUse(ServiceError):
    """An active job uses this dataset. Cancel the job or wait for its end."""

    status = 409


class EncoderNotFound(ServiceError):
    """The encoder does not exist."""

    status = 404


class InvalidEncoder(ServiceError):
    """The uploaded file is not a checkpoint of an encoder."""

    status = 422


class EncoderNameTaken(ServiceError):
    """Another encoder has this name. Choose another name, or delete that encoder."""

    status = 409


class EncoderInUse(ServiceError):
    """An active job uses this encoder. Cancel the job or wait for its end."""

    status = 409


class KeyNotFound(ServiceError):
    """The API key does not exist."""

    status = 404


class KeyRevoked(ServiceError):
    """The API key was revoked, which cannot be undone. Create a new key."""

    status = 409


class JobNotFound(ServiceError):
    """The job does not exist."""

    status = 404


class JobInUse(ServiceError):
    """Something needs this job, or it has not ended. The errors name each reference and its remedy."""

    status = 409


class BatchPredictionNotFound(JobNotFound):
    """The batch prediction does not exist."""


class BatchPredictionNotReady(ServiceError):
    """The batch prediction has no output, because it has not succeeded."""

    status = 409


class IllegalTransition(ServiceError):
    """The current status of the job does not allow this change."""

    status = 409


class ModelNotFound(ServiceError):
    """The model, version or alias does not exist."""

    status = 404


class LabelRequestNotFound(ServiceError):
    """The label request does not exist."""

    status = 404


class EvaluationNotFound(JobNotFound):
    """The evaluation does not exist."""


class RowsTaken(ServiceError):
    """Another label request took some of these rows meanwhile. Send the request again."""

    status = 409


class WebhookNotFound(ServiceError):
    """The webhook does not exist."""

    status = 404


class DeliveryNotFound(ServiceError):
    """The delivery does not exist."""

    status = 404


class ModelInUse(ServiceError):
    """Something refers to this model or to a version of it. The errors name each reference and its remedy."""

    status = 409


class VersionInUse(ServiceError):
    """Something refers to this version. The errors name each reference and its remedy."""

    status = 409


class ModelNameTaken(ServiceError):
    """Another model has this name. Choose another one."""

    status = 409


class PrecisionNotFound(ModelNotFound):
    """The version has no graph of this precision."""


class ArtifactNotFound(ServiceError):
    """The file does not exist."""

    status = 404


class RangeNotSatisfiable(ServiceError):
    """The requested range is outside of the file."""

    status = 416


class ArtifactCorrupt(ServiceError):
    """A stored file of this version is missing or corrupt."""


class UnsupportedManifest(ArtifactCorrupt):
    """This release cannot read the manifest of the version."""


class ServiceUnavailable(ServiceError):
    """A dependency of this request is unreachable. Try again later."""

    status = 503


class StorageUnavailable(ServiceUnavailable):
    """The storage of files is unreachable. Try again later."""


class SchemaMismatch(ServiceUnavailable):
    """The schema of the database is not the one that this release needs."""


class SchemaTooNew(SchemaMismatch):
    """A newer release of Isthmus made the schema of the database."""


class NotReady(ServiceUnavailable):
    """A dependency of this server is unreachable."""


class InsufficientStorage(ServiceError):
    """The disk of the server has too little free space for this request."""

    status = 507


class Overloaded(ServiceUnavailable):
    """The server has too many requests to respond in time. Try again."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, headers={"Retry-After": "1"})


class UploadsBusy(ServiceUnavailable):
    """Too many uploads wait for their check. Send this one again later."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, headers={"Retry-After": "10"})


class TooManyConnections(ServiceUnavailable):
    """The server has too many open connections. Close unused connections, or try again later."""
