"""Which requests have a short way, and how their bodies are read."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from app.fast_path import request_parsing as questions
from app.fast_path.request_parsing import Question, Ready
from app.observability.metrics import REQUEST_SECONDS, REQUESTS

PREDICT = "/predict"
INFER, INFER_VERSION = "/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer"
PREFIXES = (b"/predict", b"/v2/models/")
"""Of every path that has one."""
ARROW, LENGTH = b"arrow", b"inference-header-content-length"

_INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/([1-9][0-9]{0,8}))?/infer")

Headers = dict[bytes, bytes]
Read = Callable[[bytes], Question | None]


def by_name(headers: Sequence[tuple[bytes, bytes]]) -> Headers:
    """Of headers of the same name the first, as the routes take it."""
    return dict(reversed(headers))


class Counted:
    """What is told of one route, under the names that the routes' requests have."""

    def __init__(self, route: str) -> None:
        self.route = route
        self.seconds = REQUEST_SECONDS.labels("POST", route)
        self.answered = REQUESTS.labels("POST", route, 200)


class Asked(NamedTuple):
    """`read` gives None for a body that the routes shall read; it is None itself where only they can."""

    counted: Counted
    read: Read | None


class Known(NamedTuple):
    """What a head means that was parsed before: what it asks for, with a body of so many bytes."""

    asked: Asked
    size: int


class Short:
    """`ready` gives a version that is loaded. Raises Overloaded."""

    def __init__(self, ready: Ready, most_inputs: int) -> None:
        self._ready, self._most_inputs = ready, most_inputs
        self._predict, self._infer, self._infer_version = Counted(PREDICT), Counted(INFER), Counted(INFER_VERSION)

    def way(self, path: str, query: bytes, headers: Headers) -> Asked | None:
        """Of a POST to this path, with the percent signs decoded."""
        if path == PREDICT:
            return Asked(self._predict, self._read_predict(query, headers))
        found = _INFER.fullmatch(path)
        if found is None:
            return None
        model, version = found.groups()
        counted, reference = (self._infer_version, f"{model}:{version}") if version else (self._infer, model)
        length = headers.get(LENGTH)
        return Asked(counted, partial(questions.of_tensors, reference, length, self._ready, self._most_inputs))

    def _read_predict(self, query: bytes, headers: Headers) -> Read | None:
        content_type = headers.get(b"content-type")
        if ARROW in headers.get(b"accept", b""):
            return None
        if content_type == b"application/json" and not query:
            return partial(questions.of_json, self._ready, self._most_inputs)
        if content_type == b"application/octet-stream":
            return partial(questions.of_octets, query, headers.get(b"x-model"), self._ready, self._most_inputs)
        return None
