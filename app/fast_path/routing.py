"""Which requests have a short way, and how their bodies are read."""

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
"""Of every path that has one."""
ARROW, LENGTH = b"arrow", b"inference-header-content-length"

_INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/([1-9][0-9]{0,8}))?/infer")

Headers = dict[bytes, bytes]
Read = Callable[[bytes], ParsedRequest | None]


def first_by_name(headers: Sequence[tuple[bytes, bytes]]) -> Headers:
    """Of headers of the same name the first, as the routes take it."""
    return dict(reversed(headers))


class RouteMetrics:
    """What is told of one route, under the names that the routes' requests have."""

    def __init__(self, route: str) -> None:
        self.route = route
        self.seconds = REQUEST_SECONDS.labels("POST", route)
        self.answered = REQUESTS.labels("POST", route, 200)


class FastRoute(NamedTuple):
    """`read` gives None for a body that the routes shall read; it is None itself where only they can."""

    counted: RouteMetrics
    read: Read | None


class CachedRequestHead(NamedTuple):
    """What a head means that was parsed before: what it asks for, with a body of so many bytes."""

    asked: FastRoute
    size: int


class FastPathRouter:
    """`ready` gives a version that is loaded. Raises Overloaded."""

    def __init__(self, ready: GetLoadedModel, most_inputs: int) -> None:
        self._ready, self._most_inputs = ready, most_inputs
        self._predict, self._infer, self._infer_version = RouteMetrics(PREDICT), RouteMetrics(INFER), RouteMetrics(INFER_VERSION)

    def match(self, path: str, query: bytes, headers: Headers) -> FastRoute | None:
        """Of a POST to this path, with the percent signs decoded."""
        if path == PREDICT:
            return FastRoute(self._predict, self._read_predict(query, headers))
        found = _INFER.fullmatch(path)
        if found is None:
            return None
        model, version = found.groups()
        counted, reference = (self._infer_version, f"{model}:{version}") if version else (self._infer, model)
        length = headers.get(LENGTH)
        return FastRoute(counted, partial(request_parsing.parse_tensors, reference, length, self._ready, self._most_inputs))

    def _read_predict(self, query: bytes, headers: Headers) -> Read | None:
        content_type = headers.get(b"content-type")
        if ARROW in headers.get(b"accept", b""):
            return None
        if content_type == b"application/json" and not query:
            return partial(request_parsing.parse_json, self._ready, self._most_inputs)
        if content_type == b"application/octet-stream":
            return partial(request_parsing.parse_octet_stream, query, headers.get(b"x-model"), self._ready, self._most_inputs)
        return None
