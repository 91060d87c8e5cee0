"""Choice of the requests that the fast path can parse, and of their parsers."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from app.artifacts import Precision
from app.auth.caller_limits import CallerLimits
from app.auth.grants import Grant, Grants
from app.fast_path import request_parsing
from app.fast_path.form_parsing import boundary_of
from app.fast_path.request_parsing import GetLoadedModel, ParsedRequest
from app.observability.metrics import REQUEST_SECONDS, REQUESTS
from app.serving.loaded_model import LoadedModel

PREDICT, INVOCATIONS = "/predict", "/invocations"
INFER, INFER_VERSION = "/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer"
PREFIXES = (b"/predict", b"/invocations", b"/v2/models/")
"""Prefixes of all paths that `FastPathRouter` matches."""
_MEDIA_TYPES = {b"application/json", b"application/octet-stream"}
ARROW, LENGTH, CODING = b"arrow", b"inference-header-content-length", b"content-encoding"

_INFER_PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([1-9][0-9]{0,8}))?/infer")

Headers = dict[bytes, bytes]
ParseBody = Callable[[bytes], ParsedRequest | None]


def first_by_name(headers: Sequence[tuple[bytes, bytes]]) -> Headers:
    """Return headers as a dict; the first of duplicates wins, as in the routes."""
    return dict(reversed(headers))


class RouteMetrics:
    """Counters of one route, under the names that the route itself uses."""

    def __init__(self, route: str) -> None:
        self.route = route
        self.seconds = REQUEST_SECONDS.labels("POST", route)
        self.succeeded = REQUESTS.labels("POST", route, 200)


class FastRoute(NamedTuple):
    """A matched route. `parse` is None if only FastAPI can parse the body; it returns None for bodies it cannot parse.

    A request that is answered here counts for `limits`, which is None without rates. `parse` does not count it, because FastAPI
    may have to answer.
    """

    metrics: RouteMetrics
    parse: ParseBody | None
    limits: CallerLimits | None

    def spend(self, inputs: int) -> None:
        """Count a request with this number of inputs that is answered here."""
        if self.limits is not None:
            self.limits.count_prediction(inputs)


class CachedRequestHead(NamedTuple):
    """The meaning of a request head that was parsed before: its route and the size of its body."""

    route: FastRoute
    body_size: int


GetLoadedOfProject = Callable[[str, str, Precision | None], LoadedModel | None]


class FastPathRouter:
    """Matcher of prediction requests. `get_loaded` returns a loaded version of a project or raises Overloaded."""

    def __init__(self, get_loaded: GetLoadedOfProject, grants: Grants, max_inputs: int) -> None:
        self._get_loaded, self._grants, self._max_inputs = get_loaded, grants, max_inputs
        self._predict, self._invocations = RouteMetrics(PREDICT), RouteMetrics(INVOCATIONS)
        self._infer, self._infer_version = RouteMetrics(INFER), RouteMetrics(INFER_VERSION)

    def match(self, path: str, query: bytes, headers: Headers) -> FastRoute | None:
        """Return the route of a POST to `path`, whose percent-encoding is already decoded.

        It is None for callers that are not known yet or may not predict: only the routes check keys and refuse requests.
        """
        match = _INFER_PATH.fullmatch(path)
        if match is None and path not in (PREDICT, INVOCATIONS):
            return None
        grant = self._grants.get(headers.get(b"authorization"))
        if grant is None or not grant.caller.has_scope("predict"):
            return None
        limits = grant.limits if grant.limits.has_rates else None
        get_loaded = partial(_get_loaded_for, grant, self._get_loaded)
        if path == INVOCATIONS:
            return FastRoute(self._invocations, self._parse_invocation(query, headers, get_loaded), limits)
        if match is None:
            return FastRoute(self._predict, self._parse_predict(query, headers, get_loaded), limits)
        model, version = match.groups()
        metrics, reference = (self._infer_version, f"{model}:{version}") if version else (self._infer, model)
        if CODING in headers:
            return FastRoute(metrics, None, limits)
        length = headers.get(LENGTH)
        parse = partial(request_parsing.parse_tensors, reference, length, get_loaded, self._max_inputs)
        return FastRoute(metrics, parse, limits)

    def _parse_predict(self, query: bytes, headers: Headers, get_loaded: GetLoadedModel) -> ParseBody | None:
        content_type = _media_type(headers.get(b"content-type", b""))
        if ARROW in headers.get(b"accept", b"") or CODING in headers:
            return None
        if content_type == b"application/json" and not query:
            return partial(request_parsing.parse_json, get_loaded, self._max_inputs)
        if content_type == b"application/octet-stream":
            return partial(request_parsing.parse_octet_stream, query, headers.get(b"x-model"), get_loaded, self._max_inputs)
        boundary = boundary_of(headers.get(b"content-type", b"")) if not query and b"x-model" not in headers else None
        return partial(request_parsing.parse_files, boundary, get_loaded, self._max_inputs) if boundary else None

    def _parse_invocation(self, query: bytes, headers: Headers, get_loaded: GetLoadedModel) -> ParseBody | None:
        is_json = _media_type(headers.get(b"content-type", b"")) == b"application/json"
        if not is_json or ARROW in headers.get(b"accept", b"") or CODING in headers:
            return None
        return partial(request_parsing.parse_invocation, query, headers.get(b"x-model"), get_loaded, self._max_inputs)


def _media_type(content_type: bytes) -> bytes:
    """Return a content type without parameters such as the character set, which the routes ignore too."""
    return content_type if content_type in _MEDIA_TYPES else content_type.partition(b";")[0].strip().lower()


def _get_loaded_for(
    grant: Grant, get_loaded: GetLoadedOfProject, reference: str, precision: Precision | None
) -> LoadedModel | None:
    """Return the loaded version, or None if the grant has ended, excludes the model or is used up, which the routes report."""
    caller = grant.caller
    if not grant.is_valid or (caller.models is not None and not caller.may_use(reference)):
        return None
    if grant.limits.has_rates and not grant.limits.allow_prediction():
        return None
    grant.is_used = True
    return get_loaded(caller.project, reference, precision)
