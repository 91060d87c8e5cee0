"""Members of zip and tar archives, read one after another. Nothing is extracted; every size is bounded before it is read."""

import errno
import gzip
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO, Self, cast

from app.errors import FieldError, InvalidDataset
from app.formats.validation import ErrorCollector, pointer, printable
from app.formats.zip_names import member_names

MAX_MEMBERS = 100_000
MAX_MEMBER_BYTES = 64 * 1024**2
MAX_RATIO = 100
RATIO_FREE_BYTES = 64 * 1024**2
MAX_TAR_HEADER_BYTES = 64 * 1024
MAX_GLOBAL_HEADERS = 100
_ZIP_END = struct.Struct("<4s4H2LH")
_ZIP64_END = struct.Struct("<4sQ2H2L4Q")
_ZIP64_LOCATOR_BYTES = 20
LOOKED_AT = 50
RECORDING_SUFFIXES = (".csv", ".tsv", ".txt", ".wav")
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # other methods cannot be unpacked in chunks
_JUNK = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
_JUNK_FOLDERS = {"__macosx", "@eadir", "$recycle.bin", "system volume information"}
_TAR_EXTENDED = {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}

CORRUPT_ERRORS = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
    struct.error,
    ValueError,
    LookupError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive. Call `read` before advancing to the next member."""

    name: str
    read: Callable[[], bytes]


def members(path: Path, format: str, errors: ErrorCollector) -> Iterator[Member]:
    """Yield the regular, visible files of a `zip` or `tar` in archive order. Add an error for each unsafe one.

    Raises InvalidDataset if the file is not such an archive, is damaged, or unpacks to more than `MAX_RATIO` times its size.
    """
    return _zip_members(path, errors) if format == "zip" else _tar_members(path, errors)


def holds_recordings(path: Path, format: str) -> bool:
    """Return whether the first files of an archive are tables or sounds by their names. Raise InvalidDataset."""
    first = islice(members(path, format, ErrorCollector()), LOOKED_AT)
    suffixes = {PurePosixPath(member.name.lower()).suffix for member in first}
    return bool(suffixes) and suffixes <= set(RECORDING_SUFFIXES)


def is_hidden(name: str) -> bool:
    """Return whether a member is a file that operating systems add to archives."""
    parts = PurePosixPath(name.lower()).parts
    return (
        bool(parts)
        and ".." not in parts
        and (any(part in _JUNK_FOLDERS or part.startswith(".") for part in parts) or parts[-1] in _JUNK)
    )


def unsafe_path_reason(name: str) -> str | None:
    """Return why a member's name is rejected, or None. Nothing is ever written to that path."""
    path = PurePosixPath(name)
    if path.is_absolute() or PureWindowsPath(name).drive:
        return "an absolute path"
    if ".." in path.parts or ".." in PureWindowsPath(name).parts:
        return "a path that leaves the archive"
    return "a control character in its name" if any(ord(char) < 32 for char in name) else None


def check_expansion_ratio(total: int, packed: int) -> None:
    """Raise InvalidDataset if the archive unpacks to more than `MAX_RATIO` times its size."""
    if total > RATIO_FREE_BYTES + MAX_RATIO * packed:
        detail = f"the archive unpacks to more than {MAX_RATIO} times its size"
        raise InvalidDataset(detail, [FieldError("/file", detail)])


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip whose directory and total size are within bounds. Raise InvalidDataset."""
    with as_invalid_dataset("zip archive"):
        _check_zip_directory(path)
        archive = zipfile.ZipFile(path)
    with archive:
        check_expansion_ratio(sum(info.file_size for info in archive.infolist()), path.stat().st_size)
        yield archive


@contextmanager
def as_invalid_dataset(what: str, where: str = "/file") -> Iterator[None]:
    """Convert the exceptions that readers raise on damaged bytes to InvalidDataset."""
    try:
        yield
    except CORRUPT_ERRORS as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # a disk error, not a bad upload
            raise
        detail = f"not a readable {what}: {printable(str(error) or type(error).__name__)}"
        raise InvalidDataset(detail, [FieldError(where, detail)]) from error


def is_encrypted(info: zipfile.ZipInfo) -> bool:
    return bool(info.flag_bits & 0x1)


def _check_zip_directory(path: Path) -> None:
    """Reject a huge directory by the record at the end of the file, because zipfile loads all of it."""
    with path.open("rb") as file:
        length = file.seek(0, 2)
        file.seek(max(0, length - _ZIP_END.size - 65535 - _ZIP64_LOCATOR_BYTES - _ZIP64_END.size))
        tail = file.read()
    start = tail.rfind(b"PK\x05\x06")
    if start < 0 or len(tail) < start + _ZIP_END.size:
        raise zipfile.BadZipFile("no end-of-directory record")
    count, directory = _zip64_directory(tail, start) or _ZIP_END.unpack_from(tail, start)[4:6]
    _check_count(count)
    if directory > min(length, MAX_MEMBERS * 400):
        raise zipfile.BadZipFile("its directory is too large")


def _zip64_directory(tail: bytes, end: int) -> tuple[int, int] | None:
    """Return entries and bytes of the directory from the zip64 record, which takes precedence in zipfile."""
    locator = end - _ZIP64_LOCATOR_BYTES
    start = locator - _ZIP64_END.size
    if start < 0 or not tail.startswith(b"PK\x06\x07", locator) or not tail.startswith(b"PK\x06\x06", start):
        return None
    count, directory = _ZIP64_END.unpack_from(tail, start)[7:9]
    return count, directory


def _check_count(count: int) -> None:
    if count > MAX_MEMBERS:
        detail = f"more than {MAX_MEMBERS} files in the archive"
        raise InvalidDataset(detail, [FieldError("/file", detail)])


def _zip_members(path: Path, errors: ErrorCollector) -> Iterator[Member]:
    with open_zip(path) as archive:
        _check_count(len(archive.infolist()))
        names: set[str] = set()
        for info, name in zip(archive.infolist(), member_names(archive, errors), strict=True):
            if is_hidden(name):
                continue
            problem = _zip_problem(info, name, names)
            if problem:
                errors.add(pointer("files", name), f"{printable(name)}: {problem}")
            elif not name.endswith("/"):
                yield Member(name, partial(_read_zip, archive, info))
            names.add(name)


def _zip_problem(info: zipfile.ZipInfo, name: str, seen: set[str]) -> str | None:
    mode = info.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or a special file"
    if is_encrypted(info):
        return "encrypted"
    if info.compress_type not in METHODS:
        return "compressed by a method other than deflate"
    if info.file_size > MAX_MEMBER_BYTES:
        return f"larger than {MAX_MEMBER_BYTES} bytes"
    return unsafe_path_reason(name) or ("twice in the archive" if name in seen else None)


def _read_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with as_invalid_dataset("member of the archive", pointer("files", info.filename)), archive.open(info) as file:
        return file.read(info.file_size)  # ZipFile.read would unpack everything, regardless of the declared size


class _BoundedHeader(tarfile.TarInfo):
    """A tar header that rejects large extended headers and sparse files, which tarfile would read without a limit."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.type in _TAR_EXTENDED and header.size > MAX_TAR_HEADER_BYTES:
            detail = "an extended header of the tar archive is too large"
            raise InvalidDataset(detail, [FieldError("/file", detail)])
        if header.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError(f"{header.name} is a sparse file")
        return header

    def _proc_gnusparse_10(self, next: tarfile.TarInfo, pax_headers: object, archive: object) -> None:
        raise tarfile.ReadError(f"{next.name} is a sparse file")


def _tar_members(path: Path, errors: ErrorCollector) -> Iterator[Member]:
    with _open_tar(path) as (archive, stream):
        total = count = 0
        while (info := _next(archive)) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # a stream needs no list of past members
            count, total = count + 1, total + info.size
            _check_count(count)
            check_expansion_ratio(total, path.stat().st_size)
            if is_hidden(info.name):
                continue
            problem = _tar_problem(info)
            if problem:
                errors.add(pointer("files", info.name), f"{printable(info.name)}: {problem}")
            elif info.isreg():
                yield Member(info.name.removeprefix("./"), partial(_read_tar, archive, info))
        _read_to_end(stream, total, path)


def _read_to_end(stream: BinaryIO, total: int, path: Path) -> None:
    """Read past the end mark of the archive, because a gzip's checksum is at its very end."""
    with as_invalid_dataset("tar archive"):
        while rest := stream.read(1024**2):
            total += len(rest)
            check_expansion_ratio(total, path.stat().st_size)


@contextmanager
def _open_tar(path: Path) -> Iterator[tuple[tarfile.TarFile, BinaryIO]]:
    """Open the archive and the stream that it is read from."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        with gzip.GzipFile(fileobj=raw) if packed else raw as unpacked:
            stream = cast(BinaryIO, unpacked)
            with as_invalid_dataset("tar archive"):
                archive = _forward_only(stream)
            with archive:
                yield archive, stream


def _forward_only(stream: BinaryIO) -> tarfile.TarFile:
    """Open the stream without seeking: a seek back in a gzip unpacks it again from its start."""
    return tarfile.open(fileobj=stream, mode="r|", tarinfo=_BoundedHeader)


def _next(archive: tarfile.TarFile) -> tarfile.TarInfo | None:
    with as_invalid_dataset("tar archive"):
        info = archive.next()
        if len(archive.pax_headers) > MAX_GLOBAL_HEADERS:
            raise tarfile.ReadError("too many global headers")
        return info


def _tar_problem(info: tarfile.TarInfo) -> str | None:
    if not (info.isreg() or info.isdir()) or info.issparse():
        return "a link or a special file"
    if info.size > MAX_MEMBER_BYTES:
        return f"larger than {MAX_MEMBER_BYTES} bytes"
    return unsafe_path_reason(info.name)


def _read_tar(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    with as_invalid_dataset("member of the archive", pointer("files", info.name)):
        file = archive.extractfile(info)
        content = file.read() if file else b""
        if len(content) != info.size:
            raise EOFError("it is cut short")
        return content
