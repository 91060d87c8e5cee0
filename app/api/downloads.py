"""A stored file as an answer: with its digest, and in parts where a caller asks for parts."""

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
    206: {"description": "The part of the file that `Range` asks for.", "content": _BINARY},
    304: {"description": "The caller's copy is up to date."},
}


@dataclass(frozen=True, slots=True)
class Download:
    """A file in the storage, and what the answer calls it. `digest`: SHA-256 in hex."""

    storage_key: str
    digest: str
    size_bytes: int
    name: str
    media_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class ConditionalHeaders:
    """What a request says about the copy that the caller has, or the part of it."""

    if_none_match: str | None
    if_range: str | None
    byte_range: str | None

    def requested_range(self, size: int, etag: str) -> range | None:
        """The bytes that are asked for: None for all, which is also the answer to several ranges at once.

        Raises RangeNotSatisfiable.
        """
        asked = _ONE_RANGE.fullmatch(self.byte_range.strip()) if self.byte_range else None
        is_stale = self.if_range is not None and self.if_range.strip() != etag
        if asked is None or is_stale or asked.groups() == ("", ""):
            return None
        first, last = asked.groups()
        start, stop = (int(first), min(int(last) + 1, size) if last else size) if first else (max(size - int(last), 0), size)
        if start >= stop:
            raise RangeNotSatisfiable(f"The file has {size} bytes.", headers={"Content-Range": f"bytes */{size}"})
        return range(start, stop)


def _conditions(
    if_none_match: Annotated[str | None, Header(description="The `ETag` of a copy that the caller has.")] = None,
    if_range: Annotated[str | None, Header(description="The `ETag` of the copy that `Range` goes on with.")] = None,
    range_: Annotated[str | None, Header(alias="Range", description="One range of bytes.", examples=["bytes=1000-"])] = None,
) -> ConditionalHeaders:
    return ConditionalHeaders(if_none_match, if_range, range_)


ConditionsDep = Annotated[ConditionalHeaders, Depends(_conditions)]


def file_response(file: Download, storage: Storage, conditions: ConditionalHeaders) -> Response:
    """The file, a part of it, or that the caller's copy is up to date. Raises ArtifactNotFound, RangeNotSatisfiable."""
    etag = f'"{file.digest}"'
    seen = conditions.if_none_match
    if seen is not None and (etag in seen or seen.strip() == "*"):
        return Response(status_code=304, headers={"ETag": etag})
    if not storage.exists(file.storage_key):
        raise ArtifactNotFound("The file is no longer in the storage.")
    part = conditions.requested_range(file.size_bytes, etag)
    content = _chunks(storage.open(file.storage_key), part or range(file.size_bytes))
    return StreamingResponse(content, 206 if part else 200, _headers(file, etag, part), file.media_type)


def _headers(file: Download, etag: str, part: range | None) -> dict[str, str]:
    headers = {
        "ETag": etag,
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(file.digest)).decode()}:",
        "Content-Disposition": f'attachment; filename="{file.name}"',
        "Content-Length": str(file.size_bytes if part is None else len(part)),
        "Cache-Control": "private, max-age=31536000, immutable",
        "Accept-Ranges": "bytes",
    }
    if part is not None:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{file.size_bytes}"
    return headers


def _chunks(file: BinaryIO, part: range) -> Iterator[bytes]:
    with file:
        file.seek(part.start)
        left = len(part)
        while left and (chunk := file.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
