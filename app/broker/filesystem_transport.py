"""Kombu's filesystem transport, made safe for several processes.

Context: the embedded service installs no broker, and Celery supports `filesystem://`. Kombu 5.7's transport has three bugs. A
reader may see a message that is still empty, and the worker dies of the invalid JSON. A message may be delivered twice if the
temporary directory is on another disk. Two processes that start together truncate each other's table of bound queues.
Decision: the same transport with messages that are written and taken by a rename inside the data directory, and one lock for the
tables. Alternatives: a SQLAlchemy transport (unmaintained), a Redis in the package (native code).
"""

import fcntl
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty
from typing import Any, ClassVar

from kombu.transport import filesystem
from kombu.utils.json import dumps, loads


def purge_stale_worker_queues(folder: Path) -> None:
    """Remove the queues of dead workers: Kombu never does, and every broadcast would leave a message for each.

    Call it before the workers start. A running worker would continue its jobs without further broadcasts.
    """
    for pattern in ("control/*.pidbox.exchange", "messages/*.pidbox.msg"):
        for stale in folder.glob(pattern):
            stale.unlink(missing_ok=True)


class Channel(filesystem.Channel):
    """A channel whose messages are files `{time}_{id}.{queue}.msg`; the process that renames a file first has the message."""

    def get_table(self, exchange: str) -> list[Any]:
        with self._tables_locked():
            return list(super().get_table(exchange))  # type: ignore[no-untyped-call]  # kombu is partly typed

    def _queue_bind(self, *arguments: Any) -> None:
        with self._tables_locked():
            super()._queue_bind(*arguments)  # type: ignore[no-untyped-call]

    def _delete(self, *arguments: Any, **options: Any) -> None:
        with self._tables_locked():
            super()._delete(*arguments, **options)  # type: ignore[no-untyped-call]

    def _put(self, queue: str, payload: Any, **options: Any) -> None:  # type: ignore[override]  # its base classes differ in parameter names
        path = Path(self.data_folder_out) / f"{time.time_ns():020d}_{uuid.uuid4().hex}.{queue}.msg"
        partial = path.with_name(f"{path.name}.partial")
        try:
            partial.write_text(dumps(payload))  # type: ignore[no-untyped-call]
            partial.rename(path)
        finally:  # on a full disk
            partial.unlink(missing_ok=True)

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        for path in sorted(Path(self.data_folder_in).iterdir()):
            if path.name.partition(".")[2] != f"{queue}.msg":
                continue
            taken = Path(self.processed_folder) / path.name
            with suppress(FileNotFoundError):  # another process was faster
                path.rename(taken)
                message = loads(taken.read_text())  # type: ignore[no-untyped-call]
                taken.unlink()
                return message
        raise Empty

    @contextmanager
    def _tables_locked(self) -> Iterator[None]:
        with (self.control_folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class Transport(filesystem.Transport):
    """A transport that treats a full disk as a lost connection, which Kombu reports and retries."""

    Channel = Channel
    connection_errors = (*filesystem.Transport.connection_errors, OSError)  # type: ignore[assignment]
    default_connection_params: ClassVar[dict[str, Any]] = {}  # a host would cause a warning
