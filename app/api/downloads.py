"""Responses with a stored file: its digest as the `ETag`, conditional requests and byte ranges."""

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO

from fastapi import Depends, Header
from starlette.responses import Response, StreamingResponse

from app.errors import ArtifactNotFound, RangeNotSatisfiable
from app.storage import CHUNK, Storage

_ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_BINARY: Mapping[str, Any] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
RESPONSES: Mapping[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": _BINARY},
    206: {"description": "The requested range of the file.", "content": _BINARY},
    304: {"description": "The copy of the client is up to date."},
}


@dataclass(frozen=True, slots=True)
class Download:
    """A file in the storage and its name in the response. `digest` is the SHA-256 in hex."""

    storage_key: str
    digest: str
    size_bytes: int
    name: str
    media_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class ConditionalHeaders:
    """The conditional headers and the range of a request."""

    if_none_match: str | None
    if_range: str | None
    byte_range: str | None

    def requested_range(self, size: int, etag: str) -> range | None:
        """Return the requested bytes, or None for all; several ranges at once also give all. Raises RangeNotSatisfiable."""
        match = _ONE_RANGE.fullmatch(self.byte_range.strip()) if self.byte_range else None
        is_stale = self.if_range is not None and self.if_range.strip() != etag
        if match is None or is_stale or match.groups() == ("", ""):
            return None
        first, last = match.groups()
        start, stop = (int(first), min(int(last) + 1, size) if last else size) if first else (max(size - int(last), 0), size)
        if start >= stop:
            raise RangeNotSatisfiable(f"The file has {size} bytes.", headers={"Content-Range": f"bytes */{size}"})
        return range(start, stop)


def _conditions(
    if_none_match: Annotated[str | None, Header(description="`ETag` of the copy that the client has.")] = None,
    if_range: Annotated[str | None, Header(description="`ETag` of the copy that `Range` continues.")] = None,
    range_: Annotated[str | None, Header(alias="Range", description="One range of bytes.", examples=["bytes=1000-"])] = None,
) -> ConditionalHeaders:
    return ConditionalHeaders(if_none_match, if_range, range_)


ConditionsDep = Annotated[ConditionalHeaders, Depends(_conditions)]


def file_response(file: Download, storage: Storage, conditions: ConditionalHeaders) -> Response:
    """Return the file, a range of it, or status 304. Raises ArtifactNotFound, RangeNotSatisfiable."""
    etag = f'"{file.digest}"'
    cached = conditions.if_none_match
    if cached is not None and (etag in cached or cached.strip() == "*"):
        return Response(status_code=304, headers={"ETag": etag})
    if not storage.exists(file.storage_key):
        raise ArtifactNotFound("The file is no longer in the storage.")
    requested = conditions.requested_range(file.size_bytes, etag)
    content = _chunks(storage.open(file.storage_key), requested or range(file.size_bytes))
    return StreamingResponse(content, 206 if requested else 200, _headers(file, etag, requested), file.media_type)


def _headers(file: Download, etag: str, requested: range | None) -> dict[str, str]:
    headers = {
        "ETag": etag,
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(file.digest)).decode()}:",
        "Content-Disposition": f'attachment; filename="{file.name}"',
        "Content-Length": str(file.size_bytes if requested is None else len(requested)),
        "Cache-Control": "private, max-age=31536000, immutable",
        "Accept-Ranges": "bytes",
    }
    if requested is not None:
        headers["Content-Range"] = f"bytes {requested.start}-{requested.stop - 1}/{file.size_bytes}"
    return headers


def _chunks(file: BinaryIO, requested: range) -> Iterator[bytes]:
    with file:
        file.seek(requested.start)
        remaining = len(requested)
        while remaining and (chunk := file.read(min(CHUNK, remaining))):
            remaining -= len(chunk)
            yield chunk
