"""File storage behind a few methods and a key. Writes are all or nothing and return the SHA-256.

fsspec provides the file systems (`file://`, `s3://`); a key is a relative path that never leaves the root.
"""

import hashlib
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

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


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Storage:
    """All files of the service under one fsspec URL."""

    def __init__(self, url: str) -> None:
        self.filesystem, self.root = fsspec.core.url_to_fs(url)
        self.is_local = isinstance(self.filesystem, LocalFileSystem)

    def put(self, key: str, source: Path) -> StoredFile:
        """Copy a file to a temporary name and rename it, so that a key never names an incomplete file."""
        stored = StoredFile(key, digest_of(source), source.stat().st_size)
        target = self._path(key)
        if not self.is_local:  # object stores make an upload visible only when it is complete
            self.filesystem.put_file(str(source), target)
            return stored
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        partial = Path(f"{target}.{uuid.uuid4().hex}.partial")
        try:
            _copy_synced(source, partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return stored

    def open(self, key: str) -> BinaryIO:
        """Read a file. Raises FileNotFoundError."""
        return cast(BinaryIO, self.filesystem.open(self._path(key), "rb"))

    @contextmanager
    def local(self, key: str) -> Iterator[Path]:
        """Yield a path on this machine: the file itself, or a copy that is removed when the block ends."""
        if self.is_local:
            yield Path(self._path(key))
            return
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / key.rpartition("/")[2]
            self.filesystem.get_file(self._path(key), str(copy))
            yield copy

    def exists(self, key: str) -> bool:
        return bool(self.filesystem.exists(self._path(key)))

    def delete(self, key: str) -> None:
        """Remove a file or everything below a prefix, if it exists."""
        path = self._path(key)
        if self.filesystem.exists(path):
            self.filesystem.rm(path, recursive=True)

    def keys(self, prefix: str) -> list[str]:
        """Return the keys of all files below a prefix."""
        root = f"{self.root.rstrip('/')}/"
        return [str(path).removeprefix(root) for path in self.filesystem.find(self._path(prefix))]

    def check(self) -> None:
        """Write and delete a file to prove that the storage works. Raise the error of the file system."""
        with tempfile.TemporaryDirectory() as folder:
            probe = Path(folder) / "probe"
            probe.write_bytes(b"probe")
            key = f"health/{uuid.uuid4().hex}"
            self.put(key, probe)
            self.delete(key)

    def _path(self, key: str) -> str:
        if not _KEY.fullmatch(key):
            raise ValueError(f"not a storage key: {key!r}")
        return f"{self.root}/{key}"


def _copy_synced(source: Path, target: Path) -> None:
    with source.open("rb") as reading, target.open("wb") as writing:
        shutil.copyfileobj(reading, writing, CHUNK)
        writing.flush()
        os.fsync(writing.fileno())
