"""Choice of the requests that the fast path can parse, and of their parsers."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from app.fast_path import request_parsing
from app.fast_path.request_parsing import GetLoadedModel, ParsedRequest
from app.observability.metrics import REQUEST_SECONDS, REQUESTS

PREDICT = "/predict"
INFER, INFER_VERSION = "/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer"
PREFIXES = (b"/predict", b"/v2/models/")
"""Prefixes of all paths that `FastPathRouter` matches."""
ARROW, LENGTH = b"arrow", b"inference-header-content-length"

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
    """A matched route. `parse` is None if only FastAPI can parse the body; it returns None for bodies it cannot parse."""

    metrics: RouteMetrics
    parse: ParseBody | None


class CachedRequestHead(NamedTuple):
    """The meaning of a request head that was parsed before: its route and the size of its body."""

    route: FastRoute
    body_size: int


class FastPathRouter:
    """Matcher of prediction requests. `get_loaded` returns a loaded version or raises Overloaded."""

    def __init__(self, get_loaded: GetLoadedModel, max_inputs: int) -> None:
        self._get_loaded, self._max_inputs = get_loaded, max_inputs
        self._predict, self._infer, self._infer_version = RouteMetrics(PREDICT), RouteMetrics(INFER), RouteMetrics(INFER_VERSION)

    def match(self, path: str, query: bytes, headers: Headers) -> FastRoute | None:
        """Return the route of a POST to `path`, whose percent-encoding is already decoded."""
        if path == PREDICT:
            return FastRoute(self._predict, self._parse_predict(query, headers))
        match = _INFER_PATH.fullmatch(path)
        if match is None:
            return None
        model, version = match.groups()
        metrics, reference = (self._infer_version, f"{model}:{version}") if version else (self._infer, model)
        length = headers.get(LENGTH)
        return FastRoute(metrics, partial(request_parsing.parse_tensors, reference, length, self._get_loaded, self._max_inputs))

    def _parse_predict(self, query: bytes, headers: Headers) -> ParseBody | None:
        content_type = headers.get(b"content-type")
        if ARROW in headers.get(b"accept", b""):
            return None
        if content_type == b"application/json" and not query:
            return partial(request_parsing.parse_json, self._get_loaded, self._max_inputs)
        if content_type == b"application/octet-stream":
            return partial(request_parsing.parse_octet_stream, query, headers.get(b"x-model"), self._get_loaded, self._max_inputs)
        return None
