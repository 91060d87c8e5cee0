"""Multipart uploads: chunking, limits and malformed bodies."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import InvalidRequest, UnsupportedContentType, UploadTooLarge
from app.services import multipart_uploads
from app.services.multipart_uploads import UploadLimits, receive_upload
from app.storage.disk_space import DiskSpace

HEADERS = {"content-type": "multipart/form-data; boundary=edge"}
TRICKY = st.lists(st.sampled_from([b"\r\n--edge", b"\r\n", b"--", b"\r", b"\n--edge--", b"x" * 1100, b"\0"])).map(b"".join)


def body(content: bytes, name: bytes = b"a name", filename: bytes = b"a.csv") -> bytes:
    return (
        b'--edge\r\nContent-Disposition: form-data; name="name"\r\n\r\n' + name + b"\r\n"
        b'--edge\r\nContent-Disposition: form-data; name="file"; filename="' + filename + b'"\r\n'
        b"Content-Type: text/csv\r\n\r\n" + content + b"\r\n--edge--\r\n"
    )


def limits(max_bytes: int) -> UploadLimits:
    return UploadLimits(max_bytes, DiskSpace([Path()], 0))


async def chunks(content: bytes, sizes: Sequence[int]) -> AsyncIterator[bytes]:
    start = 0
    for size in sizes:
        yield content[start : start + size]
        start += size
    yield content[start:]


def receive(
    folder: Path, content: bytes, sizes: Sequence[int] = (), headers: dict[str, str] = HEADERS, limit: int = 10**6
) -> tuple[multipart_uploads.Upload, bytes]:
    async def run() -> tuple[multipart_uploads.Upload, bytes]:
        async with receive_upload(chunks(content, sizes), headers, folder, ["name", "options"], limits(limit)) as upload:
            return upload, await asyncio.to_thread(upload.path.read_bytes)

    return asyncio.run(run())


def test_upload_is_stored_hashed_and_deleted_afterwards(tmp_path: Path) -> None:
    upload, content = receive(tmp_path / "scratch", body(b"x,y\n1,2\n"))
    assert content == b"x,y\n1,2\n"
    assert upload.digest == sha256(content).hexdigest()
    assert (upload.filename, upload.size_bytes, upload.fields) == ("a.csv", 8, {"name": "a name"})
    assert list((tmp_path / "scratch").iterdir()) == []


@given(TRICKY.filter(lambda content: b"\r\n--edge" not in content), st.lists(st.integers(1, 60)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_chunk_sizes_do_not_change_the_upload(tmp_path: Path, content: bytes, sizes: list[int]) -> None:
    before = multipart_uploads.BATCH_BYTES
    multipart_uploads.BATCH_BYTES = 1
    try:
        upload, stored = receive(tmp_path, body(content), sizes)
    finally:
        multipart_uploads.BATCH_BYTES = before
    assert stored == content
    assert upload.digest == sha256(content).hexdigest()


@given(st.binary(max_size=300) | TRICKY)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_malformed_body_is_rejected_and_leaves_no_file(tmp_path: Path, content: bytes) -> None:
    for malformed in (content, b"--edge\r\n" + content, body(content), body(b"x", name=content), body(b"x", filename=content)):
        with suppress(InvalidRequest):
            receive(tmp_path, malformed)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", range(0, len(body(b"x,y\n1,2\n")) - len("--\r\n"), 13))
def test_truncated_body_is_rejected(tmp_path: Path, length: int) -> None:
    with pytest.raises(InvalidRequest):
        receive(tmp_path, body(b"x,y\n1,2\n")[:length])
    assert list(tmp_path.iterdir()) == []


def test_size_limit_applies_with_and_without_content_length(tmp_path: Path) -> None:
    with pytest.raises(UploadTooLarge):
        receive(tmp_path, body(b"x" * 101), limit=100)
    with pytest.raises(UploadTooLarge):
        receive(tmp_path, b"", headers={**HEADERS, "content-length": "10000000"}, limit=100)
    assert receive(tmp_path, body(b"x" * 100), limit=100)[0].size_bytes == 100


def test_overlong_part_headers_are_rejected(tmp_path: Path) -> None:
    endless = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="' + b"a" * 4 * 1024**2
    with pytest.raises(InvalidRequest, match="too large"):
        receive(tmp_path, endless, [65536] * 64)


def test_overlong_field_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="name is too long"):
        receive(tmp_path, body(b"x", name=b"a" * 100_000))


@pytest.mark.parametrize("content_type", ["", "application/json", "text/csv", "multipart/mixed; boundary=edge"])
def test_other_content_types_are_rejected(tmp_path: Path, content_type: str) -> None:
    with pytest.raises(UnsupportedContentType):
        receive(tmp_path, body(b"x"), headers={"content-type": content_type})


def test_content_type_without_a_boundary_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="boundary"):
        receive(tmp_path, body(b"x"), headers={"content-type": "multipart/form-data"})


def test_repeated_part_is_rejected(tmp_path: Path) -> None:
    twice = body(b"x").removesuffix(b"--\r\n") + b"\r\n" + body(b"y").removeprefix(b"--edge\r\n")
    with pytest.raises(InvalidRequest, match="came twice"):
        receive(tmp_path, twice)


def test_disconnected_client_leaves_no_file(tmp_path: Path) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield body(b"x" * 2 * multipart_uploads.BATCH_BYTES)
        raise ConnectionError

    async def run() -> None:
        async with receive_upload(breaking(), HEADERS, tmp_path, ["name"], limits(10**9)):
            pytest.fail("the body never ended")

    with pytest.raises(ConnectionError):
        asyncio.run(run())
    assert list(tmp_path.iterdir()) == []
