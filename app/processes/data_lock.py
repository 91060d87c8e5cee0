"""The lock of a data folder: one embedded service at a time uses it.

The lock belongs to the file description, which the service's processes inherit: it is free when the last of them has ended.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil
from pydantic import BaseModel, ValidationError

LOCK_FILE = "isthmus.lock"
WAIT_SECONDS = 10.0
"""Time that the processes of a killed service have to end."""


class DataFolderInUseError(Exception):
    """Another embedded service uses the data folder."""


class Owner(BaseModel):
    """The content of the lock file."""

    pid: int
    port: int


@contextmanager
def locked(data_dir: Path, port: int) -> Iterator[None]:
    """Hold the lock of a data folder during the block. Raise DataFolderInUseError."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / LOCK_FILE).open("a+") as file:
        _acquire(file, data_dir)
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "port": port}))
        file.flush()
        yield


def require_unlocked(data_dir: Path) -> None:
    """Raise DataFolderInUseError if an embedded service uses this data folder. Write nothing."""
    path = data_dir / LOCK_FILE
    if path.exists():
        with path.open("a+") as file:
            _acquire(file, data_dir)


def _acquire(file: IO[str], data_dir: Path) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _read_owner(file)
            if (owner is None or psutil.pid_exists(owner.pid)) or time.monotonic() > deadline:
                raise DataFolderInUseError(_message(data_dir, owner)) from None
            time.sleep(0.1)  # the owner was killed, and its processes are about to end
        else:
            return


def _read_owner(file: IO[str]) -> Owner | None:
    file.seek(0)
    try:
        return Owner.model_validate_json(file.read())
    except ValidationError:  # it was just created
        return None


def _message(data_dir: Path, owner: Owner | None) -> str:
    by = f"process {owner.pid} on port {owner.port}" if owner else "another process"
    stop = f" (kill {owner.pid})" if owner else ""
    return f"The data folder {data_dir} is in use by {by}. Stop that service{stop}, or choose another folder with --data."
