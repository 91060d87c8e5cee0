"""Multipart bodies, streamed to a scratch file while they are hashed. This module knows no HTTP framework."""

import asyncio
import hashlib
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.errors import MessageError
from pathlib import Path, PurePath, PureWindowsPath
from typing import BinaryIO

from streaming_form_data import ParseFailedException, StreamingFormDataParser
from streaming_form_data.parser import UnexpectedPartException
from streaming_form_data.targets import BaseTarget

from app.errors import FieldError, InvalidRequest, UnsupportedContentType, UploadTooLarge
from app.formats.validation import pointer, printable
from app.storage.disk_space import DiskSpace

BATCH_BYTES = 1024 * 1024
MAX_FIELD_BYTES = 64 * 1024
MAX_MULTIPART_OVERHEAD_BYTES = 256 * 1024
"""Fields, part headers and delimiters of one body: whatever is no content of the file."""

STALE_SECONDS = 24 * 3600

_MALFORMED_ERRORS = (ParseFailedException, MessageError, ValueError, LookupError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class Upload:
    """A received file and the other fields of its form."""

    path: Path
    filename: str
    digest: str
    size_bytes: int
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """The maximum size of a file, and the disks that need space for it."""

    max_bytes: int
    space: DiskSpace


@asynccontextmanager
async def receive_upload(
    chunks: AsyncIterator[bytes], headers: Mapping[str, str], folder: Path, fields: Sequence[str], limits: UploadLimits
) -> AsyncIterator[Upload]:
    """Receive the part `file` and the named fields; the file is removed when the block ends.

    Raise InvalidRequest, and UnsupportedContentType, UploadTooLarge or InsufficientStorage from the headers alone if possible.
    """
    await asyncio.to_thread(_check_headers, headers, limits)
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    path = folder / f"upload-{uuid.uuid4().hex}"
    try:
        with path.open("wb") as file:
            form = _MultipartParser(headers, file, fields, limits.max_bytes)
            async for batch in _batches(chunks):
                limits.space.require(len(batch))
                await asyncio.to_thread(form.feed, batch)
        yield form.upload(path)
    finally:
        path.unlink(missing_ok=True)


def remove_stale(folder: Path) -> None:
    """Remove the files of servers that were killed, such as unfinished uploads; files in use are younger than a day."""
    for path in [*folder.glob("upload-*"), *folder.glob("copy-*")]:
        if time.time() - path.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _check_headers(headers: Mapping[str, str], limits: UploadLimits) -> None:
    if not headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise UnsupportedContentType("Expected multipart/form-data.")
    length = headers.get("content-length", "")
    size = int(length) if length.isdecimal() else 0
    if size > limits.max_bytes + MAX_MULTIPART_OVERHEAD_BYTES:
        raise _too_large(limits.max_bytes)
    limits.space.require(size)


def _too_large(max_bytes: int) -> UploadTooLarge:
    return UploadTooLarge(f"The file is larger than {max_bytes} bytes.", [FieldError("/file", f"more than {max_bytes} bytes")])


async def _batches(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Join chunks into larger ones; each is written in a thread, so that the disk never blocks other requests."""
    buffered = bytearray()
    async for chunk in chunks:
        buffered += chunk
        if len(buffered) >= BATCH_BYTES:
            yield bytes(buffered)
            buffered.clear()
    if buffered:
        yield bytes(buffered)


class _Part(BaseTarget):  # type: ignore[misc]
    """A form part that may come once."""

    def __init__(self, name: str, max_bytes: int) -> None:
        super().__init__()
        self.name = name
        self.max_bytes = max_bytes
        self.size = 0
        self.began = self.ended = False

    def on_start(self) -> None:
        if self.began:
            raise InvalidRequest(f"Part {self.name!r} came twice.", [FieldError(pointer(self.name), "came twice")])
        self.began = True

    def on_finish(self) -> None:
        self.ended = True

    def on_data_received(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.size > self.max_bytes:
            raise self.too_large_error()
        self.write(chunk)

    def too_large_error(self) -> Exception:
        return InvalidRequest(f"{self.name} is too long.", [FieldError(pointer(self.name), f"more than {self.max_bytes} bytes")])

    def write(self, chunk: bytes) -> None:
        raise NotImplementedError


class _Field(_Part):
    def __init__(self, name: str) -> None:
        super().__init__(name, MAX_FIELD_BYTES)
        self.content = b""

    def write(self, chunk: bytes) -> None:
        self.content += chunk

    def value(self) -> str:
        try:
            return self.content.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"{self.name} is not UTF-8.", [FieldError(pointer(self.name), "not UTF-8")]) from error


class _File(_Part):
    def __init__(self, file: BinaryIO, max_bytes: int) -> None:
        super().__init__("file", max_bytes)
        self.file = file
        self.hash = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        self.hash.update(chunk)
        self.file.write(chunk)

    def too_large_error(self) -> Exception:
        return _too_large(self.max_bytes)


class _MultipartParser:
    """The parser with its parts. It keeps part headers of any length in memory, so `feed` limits them."""

    def __init__(self, headers: Mapping[str, str], file: BinaryIO, fields: Sequence[str], max_bytes: int) -> None:
        self.file = _File(file, max_bytes)
        self.fields = [_Field(name) for name in fields]
        self.fed = 0
        try:
            self.parser = StreamingFormDataParser({"content-type": headers["content-type"]}, strict=True)
        except _MALFORMED_ERRORS as error:
            raise InvalidRequest("The content type names no usable boundary.") from error
        for part in (self.file, *self.fields):
            self.parser.register(part.name, part)

    def feed(self, batch: bytes) -> None:
        try:
            self.parser.data_received(batch)
        except UnexpectedPartException as error:
            name = printable(str(error.part_name))
            raise InvalidRequest(f"Unknown part {name!r}.", [FieldError(pointer(name), "no such part is expected")]) from error
        except _MALFORMED_ERRORS as error:
            raise InvalidRequest("The body is not well-formed multipart/form-data.") from error
        self.fed += len(batch)
        if self.fed - self.file.size > MAX_MULTIPART_OVERHEAD_BYTES + BATCH_BYTES:
            raise InvalidRequest("The parts beside the file are too large.")

    def upload(self, path: Path) -> Upload:
        if not self.file.began:
            raise InvalidRequest("There is no part 'file'.", [FieldError("/file", "missing")])
        if not self.file.ended or any(part.began and not part.ended for part in self.fields):
            raise InvalidRequest("The body is cut short.", [FieldError("/file", "the body ends in the middle of a part")])
        fields = {part.name: part.value() for part in self.fields if part.began}
        return Upload(path, _base_name(self.file.multipart_filename), self.file.hash.hexdigest(), self.file.size, fields)


def _base_name(name: str | None) -> str:
    """Return the last segment of the client's path, at most 255 characters with its suffix."""
    return printable(PureWindowsPath(PurePath(name or "").name).name[-255:], 255)
