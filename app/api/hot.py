"""The short way of prediction requests: past FastAPI, for those that are plain to see.

Context: FastAPI's routing, validation and serialisation cost several times what a small network does. Decision: this stands
in front of the routes, answers requests that can be read at a glance and whose version is loaded, and hands all others on,
unchanged, to the routes of the same paths, which load versions and tell what is wrong. So the routes stay the whole truth, also
in the OpenAPI document. Consequences: requests answered here are counted here, under the same names; their lines are written at
level `debug`, since a line costs as much as a small network.
"""

import asyncio
import logging
from collections.abc import Callable
from itertools import count
from secrets import token_hex
from time import perf_counter

import structlog
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import problems
from app.api.bodies import ClientGone, unless_gone
from app.api.middleware import SANE
from app.errors import Overloaded, ServiceError
from app.metrics import REQUEST_SECONDS, REQUESTS
from app.services.predictions import Predictor, observe
from app.serving import answers, questions
from app.serving.loading import LoadedVersion
from app.serving.questions import Question

log = structlog.get_logger("isthmus.access")
_access = logging.getLogger("isthmus.access")

PREDICT = "/predict"
ARROW = b"arrow"

_PROCESS, _numbers = token_hex(8).encode(), count()
"""Of request ids: unique, and several times as quick as random ones."""

Headers = dict[bytes, bytes]
Read = Callable[[Scope, Headers, bytes], Question | None]


class HotPath:
    """ASGI middleware, outside of all others."""

    def __init__(self, app: ASGIApp, predictor: Predictor, max_bytes: int, most_inputs: int) -> None:
        self._app, self._predictor, self._turns = app, predictor, predictor.turns
        self._max_bytes, self._most_inputs = max_bytes, most_inputs
        self._readers: dict[bytes | None, Read] = {
            b"application/json": self._read_json,
            b"application/octet-stream": self._read_octets,
        }
        self._seconds = REQUEST_SECONDS.labels("POST", PREDICT)
        self._answered = REQUESTS.labels("POST", PREDICT, 200)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PREDICT or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        start = perf_counter()
        headers: Headers = dict(scope["headers"])
        read = self._readers.get(headers.get(b"content-type"))
        if read is None or ARROW in headers.get(b"accept", b""):
            try:
                self._predictor.check_threads()
            except Overloaded as error:
                await self._refuse(error, start, scope, headers, receive, send)
                return
            await self._app(scope, receive, send)
            return
        message = await receive()
        if message.get("more_body"):
            message = await _whole(message, receive, self._max_bytes)
        if message["type"] == "http.disconnect":
            return
        try:
            if not self._turns.is_free():
                await self._turns.take()
            answered = await self._answer(read, scope, headers, message, receive)
        except ClientGone:
            return
        except ServiceError as error:
            await self._refuse(error, start, scope, headers, receive, send)
            return
        except Exception:  # whatever it is, the answer is the one that FastAPI's outermost layer gives, and uvicorn logs it
            await self._refuse(ServiceError(), start, scope, headers, receive, send)
            raise
        if answered is None:
            await self._app(scope, _replayed(message, receive), send)
            return
        answer, version, rows = answered
        await send({"type": "http.response.start", "status": 200, "headers": _head(answer, headers)})
        await send({"type": "http.response.body", "body": answer})
        self._count(version, rows, perf_counter() - start)

    async def _answer(
        self, read: Read, scope: Scope, headers: Headers, message: Message, receive: Receive
    ) -> tuple[bytes, LoadedVersion, int] | None:
        """None for what the routes shall answer. Raises InvalidInputs, Overloaded; ClientGone when nobody waits any more."""
        question = None if message.get("more_body") else read(scope, headers, message["body"])
        if question is None:
            return None
        version, encoded, wanted = question
        logits = self._predictor.start(version, encoded)
        if isinstance(logits, asyncio.Future):
            logits = await unless_gone(logits, receive)
        return answers.document(logits, version, wanted), version, len(logits)

    def _count(self, version: LoadedVersion, rows: int, seconds: float) -> None:
        self._answered.value += 1
        self._seconds.observe(seconds)
        observe(version, rows, seconds)
        if _access.isEnabledFor(logging.DEBUG):
            log.debug("request", method="POST", path=PREDICT, route=PREDICT, status=200, seconds=round(seconds, 6))

    def _read_json(self, scope: Scope, headers: Headers, body: bytes) -> Question | None:
        return questions.of_json(body, self._predictor.admit, self._most_inputs)

    def _read_octets(self, scope: Scope, headers: Headers, body: bytes) -> Question | None:
        return questions.of_octets(body, scope["query_string"], headers.get(b"x-model"), self._predictor.admit, self._most_inputs)

    async def _refuse(
        self, error: ServiceError, start: float, scope: Scope, headers: Headers, receive: Receive, send: Send
    ) -> None:
        request_id = _request_id(headers).decode()
        REQUESTS.labels("POST", PREDICT, error.status).inc()
        self._seconds.observe(perf_counter() - start)
        if not isinstance(error, Overloaded):  # a flood that is refused must not become one of lines
            log.info("request", method="POST", path=PREDICT, route=PREDICT, status=error.status, request_id=request_id)
        await problems.answer(error, request_id)(scope, receive, send)


async def _whole(message: Message, receive: Receive, most: int) -> Message:
    """The message with all of the body, as far as it is not larger than allowed and the client there."""
    chunks, size = [message["body"]], len(message["body"])
    while message.get("more_body") and size <= most:
        message = await receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
    return {**message, "body": b"".join(chunks)}


def _replayed(first: Message, receive: Receive) -> Receive:
    replayed = False

    async def receive_again() -> Message:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return first

    return receive_again


def _head(answer: bytes, headers: Headers) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(answer)),
        (b"x-request-id", _request_id(headers)),
    ]


def _request_id(headers: Headers) -> bytes:
    given = headers.get(b"x-request-id")
    return given if given is not None and SANE.fullmatch(given.decode("latin-1")) else b"%s%016x" % (_PROCESS, next(_numbers))


class Isthmus(FastAPI):
    """FastAPI, with a short way past it."""

    hot: HotPath

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.hot(scope, receive, send)

    async def through_fastapi(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)
