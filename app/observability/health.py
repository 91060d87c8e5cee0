"""Checks of the database, the broker and the storage, each in its own thread and with a time limit."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import TypeVar

import structlog
from sqlalchemy import Engine

from app.broker.queue import JobQueue
from app.db.schema import check_schema
from app.storage import Storage

log = structlog.get_logger()
Result = TypeVar("Result")


class Dependencies:
    """The services that this process needs. A check that hangs occupies one of a few threads but blocks no request."""

    def __init__(self, checks: dict[str, Callable[[], object]], limit_seconds: float = 3.0) -> None:
        self._checks = checks
        self._limit_seconds = limit_seconds
        self._threads = ThreadPoolExecutor(2 * len(checks), "health")

    @classmethod
    def of(cls, engine: Engine, queue: JobQueue, storage: Storage) -> "Dependencies":
        """Return the three dependencies of every process."""
        return cls({"database": lambda: check_schema(engine), "broker": queue.check, "storage": storage.check})

    def errors(self) -> dict[str, Exception | None]:
        """Return the error of each dependency, None if it is reachable, within the time limit."""
        results = self.run_checks(self._checks)
        return {name: result if isinstance(result, Exception) else None for name, result in results.items()}

    def run_checks(self, checks: dict[str, Callable[[], Result]]) -> dict[str, Result | Exception]:
        """Call each check in its own thread. Return its result, or the error if it fails or exceeds the limit."""
        futures = {name: self._threads.submit(check) for name, check in checks.items()}
        deadline = monotonic() + self._limit_seconds
        results: dict[str, Result | Exception] = {}
        for name, future in futures.items():
            result = self._wait(name, future, deadline)
            results[name] = result
        return results

    def close(self) -> None:
        """Stop accepting checks."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _wait(self, name: str, future: Future[Result], deadline: float) -> Result | Exception:
        try:
            return future.result(max(0.0, deadline - monotonic()))
        except TimeoutError:
            future.cancel()
            error: Exception = TimeoutError(f"no response within {self._limit_seconds:g} s")
        except Exception as unreachable:  # noqa: BLE001  # clients raise their own errors; each means "unreachable"
            error = unreachable
        log.warning("dependency.unreachable", dependency=name, error=str(error), kind=type(error).__name__)
        return error
