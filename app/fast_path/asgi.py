"""The short way of prediction requests: past FastAPI, for those that are plain to see.

Context: FastAPI's routing, validation and serialisation cost several times what a small network does. Decision: this stands
in front of the routes, answers requests that can be read at a glance and whose version is loaded, and hands all others on,
unchanged, to the routes of the same paths, which load versions and tell what is wrong. So the routes stay the whole truth, also
in the OpenAPI document. Consequences: requests answered here are counted here, under the same names; their lines are written at
level `debug`, since a line costs as much as a small network.
"""

import asyncio
import logging
from itertools import count
from secrets import token_hex
from time import perf_counter

import structlog
from anyio import BrokenResourceError
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import problem_details
from app.api.middleware import VALID_REQUEST_ID
from app.api.request_bodies import ClientDisconnected, cancel_on_disconnect
from app.errors import Overloaded, ServiceError
from app.fast_path.routing import LENGTH, CachedRequestHead, FastPathRouter, FastRoute, Headers, RouteMetrics, first_by_name
from app.fast_path.write_coalescing import WriteCoalescer
from app.observability.metrics import REQUESTS
from app.serving.loaded_model import LoadedModel
from app.serving.predictor import Predictor, record_metrics
from app.serving.responses import EncodedResponse

log = structlog.get_logger("isthmus.access")
_access = logging.getLogger("isthmus.access")

_PROCESS, _numbers = token_hex(8).encode(), count()
"""Of request ids: unique, and several times as quick as random ones."""


class FastPath:
    """ASGI middleware, outside of all others."""

    def __init__(self, app: ASGIApp, predictor: Predictor, max_bytes: int, most_inputs: int) -> None:
        self._app, self._predictor, self.turns = app, predictor, predictor.turns
        self.parsed_heads: dict[bytes, CachedRequestHead] = {}
        self.outbox = WriteCoalescer()
        self._max_bytes, self._short = max_bytes, FastPathRouter(predictor.get_loaded_or_reject, most_inputs)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: Headers = {}
        asked = None
        if scope["type"] == "http" and scope["method"] == "POST":
            headers = first_by_name(scope["headers"])
            asked = self._short.match(scope["path"], scope["query_string"], headers)
        if asked is None:
            await self._app(scope, receive, send)
            return
        start = perf_counter()
        try:
            answered, receive = await self._answer(asked, receive)
        except ClientDisconnected:
            return
        except ServiceError as error:
            await self._reject(error, asked.counted, start, scope, headers, receive, send)
            return
        except Exception:  # whatever it is, the answer is the one that FastAPI's outermost layer gives, and uvicorn logs it
            await self._reject(ServiceError(), asked.counted, start, scope, headers, receive, send)
            raise
        if answered is None:
            await self._app(scope, receive, send)
            return
        answer, version, rows = answered
        await send({"type": "http.response.start", "status": 200, "headers": _response_headers(answer, headers)})
        await send({"type": "http.response.body", "body": answer.content})
        self._count(asked.counted, version, rows, perf_counter() - start)

    def match(self, target: bytes, headers: Headers) -> FastRoute | None:
        """What the head of a POST asks for, where its body can be read here; `target` is the path with its query."""
        path, _, query = target.partition(b"?")
        asked = self._short.match(path.decode("latin-1"), query, headers) if b"%" not in path else None
        return asked if asked is not None and asked.read is not None else None

    def try_answer_sync(self, asked: FastRoute, body: bytes) -> EncodedResponse | None:
        """The answer, counted, of status 200; None where it takes more than a short run, or is another."""
        if asked.read is None or len(body) > self._max_bytes or not self.turns.is_idle():
            return None
        start = perf_counter()
        try:
            question = asked.read(body)
            logits = self._predictor.predict_sync(question.version, question.encoded) if question is not None else None
            if question is None or logits is None:
                return None
            answer = question.answer(logits)
        except Exception:  # whatever it is, who answers in the ordinary way comes upon it again, and tells
            return None
        self._count(asked.counted, question.version, len(logits), perf_counter() - start)
        return answer

    async def _answer(
        self, asked: FastRoute, receive: Receive
    ) -> tuple[tuple[EncodedResponse, LoadedModel, int] | None, Receive]:
        """None for what the routes shall answer, and from where they have the body.

        Raises InvalidInputs, Overloaded; ClientDisconnected when nobody waits any more.
        """
        if asked.read is None:
            self._predictor.check_overload()
            return None, receive
        message = await receive()
        if message.get("more_body"):
            message = await _read_body(message, receive, self._max_bytes)
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        if not self.turns.is_idle():
            await self.turns.acquire()
        is_whole = not message.get("more_body") and len(message["body"]) <= self._max_bytes
        question = asked.read(message["body"]) if is_whole else None
        if question is None:
            return None, _replay(message, receive)
        logits = self._predictor.submit(question.version, question.encoded)
        if isinstance(logits, asyncio.Future):
            logits = await cancel_on_disconnect(logits, receive)
        return (question.answer(logits), question.version, len(logits)), receive

    def _count(self, counted: RouteMetrics, version: LoadedModel, rows: int, seconds: float) -> None:
        counted.answered.value += 1
        counted.seconds.observe(seconds)
        record_metrics(version, rows, seconds)
        if _access.isEnabledFor(logging.DEBUG):
            log.debug("request", method="POST", route=counted.route, status=200, seconds=round(seconds, 6))

    async def _reject(
        self,
        error: ServiceError,
        counted: RouteMetrics,
        start: float,
        scope: Scope,
        headers: Headers,
        receive: Receive,
        send: Send,
    ) -> None:
        answered, path = request_id(headers.get(b"x-request-id")).decode(), scope["path"]
        REQUESTS.labels("POST", counted.route, error.status).inc()
        counted.seconds.observe(perf_counter() - start)
        if not isinstance(error, Overloaded):  # a flood that is refused must not become one of lines
            log.info("request", method="POST", path=path, route=counted.route, status=error.status, request_id=answered)
        await problem_details.problem_response(error, answered, problem_details.oip_error_member(path, error.message))(
            scope, receive, send
        )


async def _read_body(message: Message, receive: Receive, most: int) -> Message:
    """The message with all of the body, as far as it is not larger than allowed and the client there."""
    chunks, size = [message["body"]], len(message["body"])
    while message.get("more_body") and size <= most:
        message = await receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
    return {**message, "body": b"".join(chunks)}


def _replay(first: Message, receive: Receive) -> Receive:
    replayed = False

    async def receive_again() -> Message:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return first

    return receive_again


def _response_headers(answer: EncodedResponse, headers: Headers) -> list[tuple[bytes, bytes]]:
    """The headers of the answer to a request with these."""
    head = [
        (b"content-type", content_type(answer)),
        (b"content-length", b"%d" % len(answer.content)),
        (b"x-request-id", request_id(headers.get(b"x-request-id"))),
    ]
    if answer.json_bytes is not None:
        head.append((LENGTH, b"%d" % answer.json_bytes))
    return head


def content_type(answer: EncodedResponse) -> bytes:
    return b"application/json" if answer.json_bytes is None else b"application/octet-stream"


def request_id(given: bytes | None) -> bytes:
    """What the client gave, where that is sane."""
    return (
        given
        if given is not None and VALID_REQUEST_ID.fullmatch(given.decode("latin-1"))
        else b"%s%016x" % (_PROCESS, next(_numbers))
    )


class IsthmusApp(FastAPI):
    """FastAPI, with a short way past it."""

    hot: FastPath

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.hot(scope, receive, send)

    async def through_fastapi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A client that leaves while an event waits to be sent to it makes FastAPI raise: that is no error."""
        try:
            await super().__call__(scope, receive, send)
        except* BrokenResourceError:
            pass
