"""File storage behind a few methods and a key. Writes are all or nothing and return the SHA-256.

fsspec provides the file systems (`file://`, `s3://`); a key is a relative path that never leaves the root. Methods raise
StorageUnavailable while an object store cannot be reached, and InsufficientStorage when a disk is full.
"""

import hashlib
import math
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

import fsspec
import structlog
from fsspec.implementations.local import LocalFileSystem

from app.errors import StorageUnavailable
from app.storage.disk_space import DiskSpace, is_disk_full
from app.storage.object_store import client_errors, guarded

log = structlog.get_logger()

CHUNK = 1024 * 1024
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the storage, with its SHA-256."""

    key: str
    digest: str
    size_bytes: int

    @property
    def name(self) -> str:
        """The last segment of the key."""
        return self.key.rpartition("/")[2]

    def columns(self) -> dict[str, Any]:
        """Return the values of the columns that every table of stored files has."""
        return {"storage_key": self.key, "digest": self.digest, "size_bytes": self.size_bytes}


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file in the storage, as the file system lists it. `modified_at` is in seconds since 1970."""

    key: str
    size_bytes: int
    modified_at: float


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Storage:
    """All files of the service under one fsspec URL."""

    def __init__(self, url: str, options: Mapping[str, Any] | None = None, copies: Path | None = None) -> None:
        """Open the file system of the URL. `options` are arguments of its fsspec class, such as credentials.

        `copies` is the folder for copies of files that are not on this machine; None: the folder of the system.
        """
        self._copies = copies
        self.filesystem, self.root = fsspec.core.url_to_fs(url, **(options or {}))
        self.is_local = isinstance(self.filesystem, LocalFileSystem)
        self._client_errors = client_errors(self.filesystem)

    def put(self, key: str, source: Path, *, may_link: bool = False) -> StoredFile:
        """Store a file under a temporary name and rename it, so that a key never names an incomplete file.

        With `may_link`, a file that is not written to any more is linked instead of copied, if it is on the storage's disk.
        """
        stored = StoredFile(key, digest_of(source), source.stat().st_size)
        target = self._path(key)
        with self._errors_translated():
            if self.is_local:
                _store_locally(source, Path(target), may_link)
            else:  # object stores make an upload visible only when it is complete
                self._upload(source, target)
        return stored

    def open(self, key: str) -> BinaryIO:
        """Read a file. Raises FileNotFoundError."""
        with self._errors_translated():
            file = cast(BinaryIO, self.filesystem.open(self._path(key), "rb"))
        return file if self.is_local else guarded(file, self._errors_translated)

    @contextmanager
    def local(self, key: str) -> Iterator[Path]:
        """Yield a path on this machine: the file itself, or a copy that is removed when the block ends."""
        if self.is_local:
            yield Path(self._path(key))
            return
        if self._copies is not None:
            self._copies.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="copy-", dir=self._copies) as folder:
            copy = Path(folder) / key.rpartition("/")[2]
            with self._errors_translated():
                self.filesystem.get_file(self._path(key), str(copy))
            yield copy

    def exists(self, key: str) -> bool:
        with self._errors_translated():
            return bool(self.filesystem.exists(self._path(key)))

    def delete(self, key: str) -> None:
        """Remove a file or everything below a prefix, if it exists."""
        path = self._path(key)
        with self._errors_translated():
            if self.filesystem.exists(path):
                self.filesystem.rm(path, recursive=True)

    def delete_file(self, key: str) -> None:
        """Remove one file, if it exists."""
        with self._errors_translated(), suppress(FileNotFoundError):
            self.filesystem.rm_file(self._path(key))

    def keys(self, prefix: str) -> list[str]:
        """Return the keys of all files below a prefix."""
        root = f"{self.root.rstrip('/')}/"
        with self._errors_translated():
            paths = self.filesystem.find(self._path(prefix))
        # some object stores also list the folder itself
        return [key for path in paths if (key := str(path).removeprefix(root)).startswith(f"{prefix}/")]

    def files(self, prefix: str) -> Iterator[FileInfo]:
        """Yield all files below a prefix, also those with names that are no keys."""
        root = f"{self.root.rstrip('/')}/"
        with self._errors_translated():
            found = self.filesystem.find(self._path(prefix), detail=True)
        for path, info in found.items():
            if (key := str(path).removeprefix(root)).startswith(f"{prefix}/"):
                yield FileInfo(key, int(info["size"]), _modified_at(info))

    def is_empty(self) -> bool:
        """Return whether the storage has no file at all."""
        with self._errors_translated():
            return not self.filesystem.exists(self.root) or not self.filesystem.find(self.root)

    def check(self) -> None:
        """Write and delete a file to prove that the storage works. Raise the error of the file system."""
        with tempfile.TemporaryDirectory() as folder:
            probe = Path(folder) / "probe"
            probe.write_bytes(b"probe")
            key = f"health/{uuid.uuid4().hex}"
            self.put(key, probe)
            self.delete(key)

    def _upload(self, source: Path, target: str) -> None:
        try:
            self.filesystem.put_file(str(source), target)
        except FileNotFoundError as error:
            raise StorageUnavailable("The bucket of the storage does not exist. The operator has to create it.") from error

    @contextmanager
    def _errors_translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if is_disk_full(error):
                raise self._full_disk().full_error() from error
            if self.is_local or isinstance(error, FileNotFoundError):
                raise
            self._raise_unavailable(error)
        except self._client_errors as error:
            self._raise_unavailable(error)

    def _raise_unavailable(self, error: Exception) -> NoReturn:
        log.warning("storage.unreachable", error=str(error), kind=type(error).__name__)
        raise StorageUnavailable from error

    def _full_disk(self) -> DiskSpace:
        return DiskSpace([Path(self.root) if self.is_local else self._copies or Path(tempfile.gettempdir())], 0)

    def _path(self, key: str) -> str:
        if not _KEY.fullmatch(key):
            raise ValueError(f"not a storage key: {key!r}")
        return f"{self.root}/{key}"


def _modified_at(info: dict[str, Any]) -> float:
    """Return the time from a file system's description; one without a time counts as new."""
    modified = info.get("mtime", info.get("LastModified", info.get("created", math.inf)))
    return float(modified.timestamp() if hasattr(modified, "timestamp") else modified)


def _store_locally(source: Path, target: Path, may_link: bool) -> None:
    """Copy or link the source to a temporary name, and rename it to the target."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(f"{target}.{uuid.uuid4().hex}.partial")
    try:
        if not (may_link and _link_synced(source, partial)):
            _copy_synced(source, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _link_synced(source: Path, target: Path) -> bool:
    """Make a second name for the same file; return False where that is not possible, such as on another disk."""
    try:
        target.hardlink_to(source)
    except OSError as error:
        if is_disk_full(error):
            raise
        return False
    with source.open("rb") as file:
        os.fsync(file.fileno())
    return True


def _copy_synced(source: Path, target: Path) -> None:
    with source.open("rb") as reading, target.open("wb") as writing:
        shutil.copyfileobj(reading, writing, CHUNK)
        writing.flush()
        os.fsync(writing.fileno())
