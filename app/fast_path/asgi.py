"""Answers to simple prediction requests without FastAPI.

Context: FastAPI's routing, validation and serialisation take several times as long as a small network. Decision: an ASGI app
in front of FastAPI answers each prediction request that it can parse cheaply and whose version is loaded. It passes all other
requests on, unchanged, to the routes of the same paths, which load versions and explain errors. The routes can therefore
answer every request, and the OpenAPI document stays complete. Consequences: requests answered here are counted here, under the
same metric names. Their log lines have level `debug`, because writing a line takes as long as a small network.
"""

import asyncio
import logging
from itertools import count
from secrets import token_hex
from time import perf_counter

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import problem_details
from app.api.middleware import MAX_LOGGED_PATH, VALID_REQUEST_ID
from app.api.request_bodies import ClientDisconnected, cancel_on_disconnect
from app.auth.grants import Grants
from app.errors import Overloaded, ServiceError
from app.fast_path.routing import LENGTH, CachedRequestHead, FastPathRouter, FastRoute, Headers, RouteMetrics, first_by_name
from app.fast_path.write_coalescing import WriteCoalescer
from app.observability.metrics import REQUESTS
from app.serving.loaded_model import LoadedModel, row_count
from app.serving.predictor import Predictor, record_metrics
from app.serving.responses import EncodedResponse

log = structlog.get_logger("isthmus.access")
_access = logging.getLogger("isthmus.access")

_PROCESS_ID, _request_numbers = token_hex(8).encode(), count()
"""Parts of new request ids: unique, and several times faster to make than random ids."""


class FastPath:
    """ASGI app in front of all middleware. It answers simple prediction requests and passes all others to `app`."""

    def __init__(self, app: ASGIApp, predictor: Predictor, grants: Grants, max_bytes: int, max_inputs: int) -> None:
        self._app, self._predictor, self.admission = app, predictor, predictor.admission
        self.parsed_heads: dict[bytes, CachedRequestHead] = {}
        self.coalescer = WriteCoalescer()
        self._max_bytes, self._router = max_bytes, FastPathRouter(predictor.get_loaded_or_reject, grants, max_inputs)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: Headers = {}
        route = None
        if scope["type"] == "http" and scope["method"] == "POST":
            headers = first_by_name(scope["headers"])
            route = self._router.match(scope["path"], scope["query_string"], headers)
        if route is None:
            await self._app(scope, receive, send)
            return
        start = perf_counter()
        try:
            result, receive = await self._answer(route, receive)
        except ClientDisconnected:
            return
        except ServiceError as error:
            await self._reject(error, route.metrics, start, scope)(scope, receive, send)
            return
        except Exception:  # any error: respond as FastAPI's outermost layer does; uvicorn logs it
            await self._reject(problem_details.closing_error(), route.metrics, start, scope)(scope, receive, send)
            raise
        if result is None:
            await self._app(scope, receive, send)
            return
        response, version, rows = result
        await send({"type": "http.response.start", "status": 200, "headers": _response_headers(response, headers)})
        await send({"type": "http.response.body", "body": response.content})
        self._count(route.metrics, version, rows, perf_counter() - start)

    def match(self, target: bytes, headers: Headers) -> FastRoute | None:
        """Return the route of a POST to `target`, a path with its query, if its body can be parsed here."""
        path, _, query = target.partition(b"?")
        route = self._router.match(path.decode("latin-1"), query, headers) if b"%" not in path else None
        return route if route is not None and route.parse is not None else None

    def try_answer_sync(self, route: FastRoute, body: bytes) -> EncodedResponse | None:
        """Return a response of status 200 and count it, or None if the request needs a thread, the routes or another status."""
        if route.parse is None or len(body) > self._max_bytes or not self.admission.is_idle():
            return None
        start = perf_counter()
        try:
            request = route.parse(body)
            logits = self._predictor.predict_sync(request.version, request.encoded) if request is not None else None
            if request is None or logits is None:
                return None
            response = request.encode_response(logits)
        except Exception:  # noqa: BLE001  # any error: the ordinary way meets the same error and reports it
            return None
        route.spend(len(logits))
        self._count(route.metrics, request.version, len(logits), perf_counter() - start)
        return response

    async def _answer(
        self, route: FastRoute, receive: Receive
    ) -> tuple[tuple[EncodedResponse, LoadedModel, int] | None, Receive]:
        """Return the response, its version and number of rows, or None if FastAPI has to answer; and the rest of the body.

        Raises InvalidInputs, Overloaded, and ClientDisconnected if the client left.
        """
        if route.parse is None:
            self._predictor.check_overload()
            return None, receive
        message = await receive()
        if message.get("more_body"):
            message = await _read_body(message, receive, self._max_bytes)
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        if not self.admission.is_idle():
            await self.admission.acquire()
        is_complete = not message.get("more_body") and len(message["body"]) <= self._max_bytes
        try:
            request = route.parse(message["body"]) if is_complete else None
        except ServiceError:
            route.spend(0)
            raise
        if request is None:
            return None, _replay(message, receive)
        route.spend(row_count(request.encoded))
        logits = self._predictor.submit(request.version, request.encoded)
        if isinstance(logits, asyncio.Future):
            logits = await cancel_on_disconnect(logits, receive)
        return (request.encode_response(logits), request.version, len(logits)), receive

    def _count(self, metrics: RouteMetrics, version: LoadedModel, rows: int, seconds: float) -> None:
        metrics.succeeded.value += 1
        metrics.seconds.observe(seconds)
        record_metrics(version, rows, seconds)
        if _access.isEnabledFor(logging.DEBUG):
            log.debug("request", method="POST", route=metrics.route, status=200, seconds=round(seconds, 6))

    def _reject(self, error: ServiceError, metrics: RouteMetrics, start: float, scope: Scope) -> Response:
        """Count the error, log it, and return its problem document."""
        path, given_id = scope["path"][:MAX_LOGGED_PATH], first_by_name(scope["headers"]).get(b"x-request-id")
        response_id = request_id(given_id).decode()
        REQUESTS.labels("POST", metrics.route, error.status).inc()
        metrics.seconds.observe(perf_counter() - start)
        if not isinstance(error, Overloaded):  # one line per rejected request would make an overload worse
            log.info("request", method="POST", path=path, route=metrics.route, status=error.status, request_id=response_id)
        return problem_details.problem_response(error, response_id, problem_details.oip_error_member(path, error.message))


async def _read_body(message: Message, receive: Receive, max_bytes: int) -> Message:
    """Return one message with the whole body. Stop early if it exceeds `max_bytes` or the client leaves."""
    chunks, size = [message["body"]], len(message["body"])
    while message.get("more_body") and size <= max_bytes:
        message = await receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
    return {**message, "body": b"".join(chunks)}


def _replay(first: Message, receive: Receive) -> Receive:
    """Return a `receive` that yields `first`, and then what the original yields."""
    is_replayed = False

    async def receive_again() -> Message:
        nonlocal is_replayed
        if is_replayed:
            return await receive()
        is_replayed = True
        return first

    return receive_again


def _response_headers(response: EncodedResponse, request_headers: Headers) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"content-type", content_type(response)),
        (b"content-length", b"%d" % len(response.content)),
        (b"x-request-id", request_id(request_headers.get(b"x-request-id"))),
    ]
    if response.json_bytes is not None:
        headers.append((LENGTH, b"%d" % response.json_bytes))
    return headers


def content_type(response: EncodedResponse) -> bytes:
    """Return the media type of a response: JSON, or JSON followed by binary tensors."""
    return b"application/json" if response.json_bytes is None else b"application/octet-stream"


def request_id(given: bytes | None) -> bytes:
    """Return the client's request id if it is valid, else a new one."""
    return (
        given
        if given is not None and VALID_REQUEST_ID.fullmatch(given.decode("latin-1"))
        else b"%s%016x" % (_PROCESS_ID, next(_request_numbers))
    )
