"""Dependencies and helpers that the prediction routes share: limited bodies, validation, disconnecting clients."""

import asyncio
import gc
from codecs import BOM_UTF8
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine
from time import perf_counter
from typing import Annotated, Any, TypeVar

from fastapi import Depends, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from app.api.content_codings import content_coding, unpack
from app.api.large_bodies import MANY_VALUES, HeldSlots
from app.auth.caller_limits import CallerLimits
from app.errors import FieldError, InvalidRequest, UploadTooLarge
from app.formats.json_limits import exceeded_limit
from app.modalities.base import Encoded
from app.schemas.predict import ModelReference
from app.serving.loaded_model import LoadedModel, row_count
from app.serving.predictor import Logits, Predictor, record_metrics

MODEL_HEADER = "X-Model"
HTTP_499_CLIENT_CLOSED_REQUEST = 499
MAX_INLINE_PARSE_BYTES = 8192
"""Up to this size, parsing a body takes less time than starting a thread for it."""

Body = TypeVar("Body", bound=BaseModel)
Result = TypeVar("Result")


class ClientDisconnected(Exception):  # noqa: N818  # an event, like starlette's ClientDisconnect
    """The client closed the connection before the response."""


async def get_predictor(request: Request) -> Predictor:
    """Return the predictor of this process."""
    predictor: Predictor = request.app.state.predictor
    return predictor


PredictorDep = Annotated[Predictor, Depends(get_predictor)]


ModelQuery = Annotated[
    ModelReference | None,
    Query(description=f"Model reference, for bodies without one. The header `{MODEL_HEADER}` takes precedence."),
]


async def get_model(request: Request, model: ModelQuery = None) -> str | None:
    """Return the model reference of the header or the query."""
    return request.headers.get(MODEL_HEADER, model)


ModelDep = Annotated[str | None, Depends(get_model)]


def require_model(model: str | None) -> str:
    """Return the model reference. Raises InvalidRequest if there is none."""
    if model is None:
        raise InvalidRequest(errors=[FieldError("/query/model", f"name the model here or in the header {MODEL_HEADER}")])
    return model


async def stream_limited(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """Yield the body as it arrives; unpack it once it has arrived.

    Raises RateLimited, Overloaded, and UploadTooLarge as soon as the body exceeds `limit` bytes.
    """
    limits: CallerLimits = request.state.limits
    limits.require_inputs()
    coding = content_coding(request.headers.get("content-encoding", ""))
    chunks = _stream_within(limit, request.stream())
    try:
        async for chunk in chunks if coding is None else _unpacked(request, [chunk async for chunk in chunks], coding, limit):
            yield chunk
    except ClientDisconnect as error:
        raise HTTPException(HTTP_499_CLIENT_CLOSED_REQUEST, "The client closed the connection.") from error


async def _unpacked(request: Request, packed: list[bytes], coding: str, limit: int) -> AsyncGenerator[bytes, None]:
    slots: HeldSlots = request.state.body_slots
    size = 0
    async for piece in _stream_within(limit, unpack(packed, coding)):
        size += len(piece)
        await slots.before_unpacking(size)
        yield piece


async def _stream_within(limit: int, chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    received = 0
    async for chunk in chunks:
        received += len(chunk)
        if received > limit:
            raise UploadTooLarge(f"The body of a prediction request may have at most {limit} bytes.")
        yield chunk


async def read_body(request: Request, limit: int) -> bytes:
    """Return the whole body. Raises UploadTooLarge."""
    return b"".join([chunk async for chunk in stream_limited(request, limit)])


async def read_text(request: Request, limit: int) -> bytes:
    """Return the whole body, which will be parsed into values. Raises UploadTooLarge, Overloaded."""
    body = await read_body(request, limit)
    slots: HeldSlots = request.state.body_slots
    await slots.before_parsing(body)
    return body


def validated(schema: type[Body], data: bytes | dict[str, Any]) -> Body:
    """Validate a body, with or without a byte order mark. Raises RequestValidationError, as FastAPI does for an invalid body."""
    if isinstance(data, bytes):
        data = data.removeprefix(BOM_UTF8)
    try:
        return _parsed(schema, data) if isinstance(data, bytes) else schema.model_validate(data)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
        body = data if isinstance(data, dict) or errors[0]["type"] == "json_invalid" else from_json(data)
        raise RequestValidationError([{**e, "loc": ("body", *e["loc"])} for e in errors], body=body) from error


def _parsed(schema: type[Body], text: bytes) -> Body:
    """Parse JSON. Raises UploadTooLarge for very many values: each takes memory, and nothing else runs meanwhile."""
    if len(text) <= MANY_VALUES:
        return schema.model_validate_json(text)
    limit = exceeded_limit(text)
    if limit:
        raise UploadTooLarge(f"The body has more than {limit}. Send fewer inputs, or binary arrays.")
    collects = gc.isenabled()
    gc.disable()  # it would visit all values again and again
    try:
        return schema.model_validate_json(text)
    finally:
        if collects:
            gc.enable()


async def run_prediction(request: Request, predictor: Predictor, version: LoadedModel, encoded: Encoded) -> Logits:
    """Return the logits; drop the request from the queue if its client disconnects. Raises InvalidInputs, Overloaded."""
    start = perf_counter()
    limits: CallerLimits = request.state.limits
    limits.count_inputs(row_count(encoded))
    logits = predictor.submit(version, encoded)
    if isinstance(logits, asyncio.Future):
        try:
            logits = await cancel_on_disconnect(logits, request.receive)
        except ClientDisconnected as error:
            raise HTTPException(HTTP_499_CLIENT_CLOSED_REQUEST, "The client closed the connection.") from error
    record_metrics(version, len(logits), perf_counter() - start)
    return logits


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of this work, which ends when the client disconnects."""
    try:
        return await cancel_on_disconnect(asyncio.ensure_future(work), request.receive)
    except ClientDisconnected as error:
        raise HTTPException(HTTP_499_CLIENT_CLOSED_REQUEST, "The client closed the connection.") from error


async def cancel_on_disconnect(pending: "asyncio.Future[Result]", receive: Receive) -> Result:
    """Return the result of `pending` or raise its error. Raises ClientDisconnected if the client disconnects first."""
    disconnected = asyncio.create_task(_wait_for_disconnect(receive))
    futures: set[asyncio.Future[Any]] = {pending, disconnected}
    try:
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
        if not pending.done():
            raise ClientDisconnected
        return pending.result()
    finally:
        pending.cancel()
        disconnected.cancel()


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
