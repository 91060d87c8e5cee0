"""What the routes of uploads share: the body in chunks, and one slot of the caller for each upload."""

from collections.abc import AsyncIterator

from fastapi import Request
from starlette.requests import ClientDisconnect

from app.api.authorization import LimitsDep
from app.errors import InvalidRequest


async def upload_slot(limits: LimitsDep) -> AsyncIterator[None]:
    """Hold one of the caller's uploads until the response."""
    with limits.uploads.held():
        yield


async def body_chunks(request: Request) -> AsyncIterator[bytes]:
    """Yield the chunks of the body. Raise InvalidRequest if the client disconnects."""
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        raise InvalidRequest("The request body is incomplete.") from error
