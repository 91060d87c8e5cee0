"""Single files compressed by gzip, decompressed as they are read."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from app.errors import FieldError, InvalidDataset

MAGIC = b"\x1f\x8b"
MAX_RATIO = 100
RATIO_FREE_BYTES = 64 * 1024**2


class _BoundedGzipFile(gzip.GzipFile):
    """Raises InvalidDataset beyond `MAX_RATIO` times the size of the file."""

    limit = RATIO_FREE_BYTES

    def read(self, size: int | None = -1) -> bytes:
        return self._bounded(super().read(size))

    def readline(self, size: int | None = -1) -> bytes:
        return self._bounded(super().readline(-1 if size is None else size))

    def _bounded(self, content: bytes) -> bytes:
        if self.tell() > self.limit:
            detail = f"the file unpacks to more than {MAX_RATIO} times its size"
            raise InvalidDataset(detail, [FieldError("/file", detail)])
        return content


def open_decompressed(path: Path) -> BinaryIO:
    """Open a file, through gzip if it is compressed by it."""
    file = path.open("rb")
    if file.read(len(MAGIC)) != MAGIC:
        file.seek(0)
        return file
    file.close()
    unpacked = _BoundedGzipFile(path)
    unpacked.limit = max(RATIO_FREE_BYTES, MAX_RATIO * path.stat().st_size)
    return cast(BinaryIO, unpacked)


@contextmanager
def as_damaged_gzip() -> Iterator[None]:
    """Raise InvalidDataset for damage that is found while reading."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InvalidDataset("The file is damaged.", [FieldError("/file", f"not readable as gzip: {error}")]) from error
