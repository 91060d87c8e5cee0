"""Access to an S3 object store with s3fs, which the extra `s3` installs."""

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, BinaryIO

CONNECT_SECONDS = 3
READ_SECONDS = 30
BLOCK_BYTES = 8 * 1024**2
"""The part of a file that a reader requests at once; s3fs's default of 50 MB would count for each open download."""


def s3_options(endpoint: str, region: str, access_key: str, secret_key: str) -> dict[str, Any]:
    """Return the arguments of s3fs. Empty values leave the choice to the AWS environment and its profiles."""
    limits = {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS}
    return {
        "endpoint_url": endpoint or None,
        "key": access_key or None,
        "secret": secret_key or None,
        "client_kwargs": {"region_name": region} if region else {},
        "config_kwargs": {**limits, "retries": {"mode": "standard", "total_max_attempts": 3}},
        "default_block_size": BLOCK_BYTES,
        "use_listings_cache": False,  # other processes store and delete files too
    }


def client_errors(filesystem: Any) -> tuple[type[Exception], ...]:
    """Return the errors of an unreachable object store."""
    if "s3" not in filesystem.protocol:
        return ()
    from aiohttp import ClientError as ConnectionFailedError
    from botocore.exceptions import BotoCoreError, ClientError

    filesystem.retries = 2  # s3fs repeats requests that timed out, 5 times by default
    return (BotoCoreError, ClientError, ConnectionFailedError)


class _GuardedFile(io.RawIOBase):
    """A file of an object store whose errors are translated while it is read."""

    def __init__(self, file: BinaryIO, guard: Callable[[], AbstractContextManager[None]]) -> None:
        self._file = file
        self._guard = guard

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        with self._guard():
            content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


def guarded(file: BinaryIO, guard: Callable[[], AbstractContextManager[None]]) -> BinaryIO:
    """Return the file with a guard around each read."""
    return io.BufferedReader(_GuardedFile(file, guard), 1024**2)
