"""What the routes of predictions share: bodies read in pieces up to a bound, checked, and answered while the client is there."""

import asyncio
from collections.abc import AsyncGenerator
from time import perf_counter
from typing import Annotated, Any, TypeVar

from fastapi import Depends, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from app.errors import FieldError, InvalidRequest, UploadTooLarge
from app.modalities.base import Encoded
from app.schemas.predict import ModelReference
from app.serving.loaded_model import LoadedModel
from app.serving.predictor import Logits, Predictor, record_metrics

MODEL_HEADER = "X-Model"
HTTP_499_CLIENT_CLOSED_REQUEST = 499
SMALL_BYTES = 8192
"""Up to so many, a body is parsed before a thread would have begun to."""

Body = TypeVar("Body", bound=BaseModel)


class ClientDisconnected(Exception):
    """Nobody is there any more to be answered."""


async def get_predictor(request: Request) -> Predictor:
    predictor: Predictor = request.app.state.predictor
    return predictor


PredictorDep = Annotated[Predictor, Depends(get_predictor)]


ModelQuery = Annotated[ModelReference | None, Query(description=f"Of a body that names none; or the header `{MODEL_HEADER}`.")]


async def get_model(request: Request, model: ModelQuery = None) -> str | None:
    return request.headers.get(MODEL_HEADER, model)


ModelDep = Annotated[str | None, Depends(get_model)]


def require_model(model: str | None) -> str:
    """Raises InvalidRequest."""
    if model is None:
        raise InvalidRequest(errors=[FieldError("/query/model", f"name the model here or in the header {MODEL_HEADER}")])
    return model


async def stream_limited(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises UploadTooLarge before it holds more than `limit` bytes."""
    received = 0
    try:
        async for chunk in request.stream():
            received += len(chunk)
            if received > limit:
                raise UploadTooLarge(f"A prediction request may have {limit} bytes.")
            yield chunk
    except ClientDisconnect as error:
        raise HTTPException(HTTP_499_CLIENT_CLOSED_REQUEST, "The client left.") from error


async def read_body(request: Request, limit: int) -> bytes:
    """All of the body. Raises UploadTooLarge."""
    return b"".join([chunk async for chunk in stream_limited(request, limit)])


def validated(schema: type[Body], data: bytes | dict[str, Any]) -> Body:
    """Raises what FastAPI raises for a bad body."""
    try:
        return schema.model_validate_json(data) if isinstance(data, bytes) else schema.model_validate(data)
    except ValidationError as error:
        places = error.errors(include_url=False, include_context=False)
        body = data if isinstance(data, dict) or places[0]["type"] == "json_invalid" else from_json(data)
        raise RequestValidationError([{**place, "loc": ("body", *place["loc"])} for place in places], body=body) from error


async def run_prediction(request: Request, predictor: Predictor, version: LoadedModel, encoded: Encoded) -> Logits:
    """The logits. Raises InvalidInputs, Overloaded; a client that leaves gives its place in the queue away."""
    start = perf_counter()
    logits = predictor.submit(version, encoded)
    if isinstance(logits, asyncio.Future):
        try:
            logits = await cancel_on_disconnect(logits, request.receive)
        except ClientDisconnected as error:
            raise HTTPException(HTTP_499_CLIENT_CLOSED_REQUEST, "The client left.") from error
    record_metrics(version, len(logits), perf_counter() - start)
    return logits


async def cancel_on_disconnect(started: "asyncio.Future[Logits]", receive: Receive) -> Logits:
    """The logits when they are there. Raises what their computation raises; ClientDisconnected when the client left before."""
    gone = asyncio.create_task(_disconnect(receive))
    waiting: set[asyncio.Future[Any]] = {started, gone}
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            raise ClientDisconnected
        return started.result()
    finally:
        started.cancel()
        gone.cancel()


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
