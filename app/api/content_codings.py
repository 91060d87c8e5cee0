"""Content codings of request bodies: gzip and deflate, unpacked in small pieces, so that a bomb is noticed early.

The number of gzip members is limited, because a member without content costs much more than the 20 bytes that it takes.
"""

import asyncio
import zlib
from collections.abc import AsyncGenerator, Iterable, Iterator
from typing import Final

from app.errors import FieldError, InvalidRequest, UnsupportedContentEncoding

PIECE_BYTES = 64 * 1024
MAX_MEMBERS = 1000
_ALIASES: Final = {"": "identity", "identity": "identity", "gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
_GZIP, _ZLIB, _RAW = 31, 15, -15
"""Values of `wbits` in zlib."""


def content_coding(header: str) -> str | None:
    """Return `gzip` or `deflate`, None for a body that is not compressed. Raise UnsupportedContentEncoding."""
    coding = _ALIASES.get(header.strip().lower())
    if coding is None:
        raise UnsupportedContentEncoding(f"Send the body as gzip, as deflate or uncompressed, not {header[:100]!r}.")
    return None if coding == "identity" else coding


async def unpack(chunks: Iterable[bytes], coding: str) -> AsyncGenerator[bytes, None]:
    """Yield the content in pieces. Raise InvalidRequest if it is damaged."""
    unpacker = _Unpacker(coding)
    for chunk in chunks:
        for piece in unpacker.pieces(chunk):
            yield piece
            await asyncio.sleep(0)  # other requests go on during a long body
    unpacker.check_complete()


class _Unpacker:
    """The state of one body. A gzip body may have several members."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._head = b""
        self._members = 0
        self._stream: zlib._Decompress | None = None

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what a received chunk contains, at most `PIECE_BYTES` at a time."""
        data = self._head + chunk
        while data:
            if self._stream is None or (self._stream.eof and self._coding == "gzip"):
                if len(data) < 2:
                    break
                self._members += 1
                if self._members > MAX_MEMBERS:
                    raise self._damaged(f"more than {MAX_MEMBERS} members")
                self._stream = zlib.decompressobj(self._wbits(data))
            elif self._stream.eof:
                raise self._damaged("data follows the end of the body")
            piece = self._decompress(self._stream, data)
            data = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            if piece:
                yield piece
        self._head = data

    def check_complete(self) -> None:
        """Raise InvalidRequest if the body ended too early."""
        if self._head or (self._stream is not None and not self._stream.eof):
            raise self._damaged("it is cut short")

    def _wbits(self, data: bytes) -> int:
        """Return the format: clients send `deflate` with and without the header of zlib."""
        if self._coding == "gzip":
            return _GZIP
        has_header = data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2]) % 31 == 0
        return _ZLIB if has_header else _RAW

    def _decompress(self, stream: "zlib._Decompress", data: bytes) -> bytes:
        try:
            return stream.decompress(data, PIECE_BYTES)
        except zlib.error as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, reason: str) -> InvalidRequest:
        detail = f"the body is not {self._coding}: {reason}"
        return InvalidRequest(None, [FieldError("/header/Content-Encoding", detail)])
