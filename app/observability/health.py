"""Are the database, the broker and the storage reachable? Each is asked in a thread of its own, for a bounded time."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import TypeVar

import structlog
from sqlalchemy import Engine

from app.broker.queue import JobQueue
from app.storage import Storage

log = structlog.get_logger()
Answer = TypeVar("Answer")


def check_database(engine: Engine) -> None:
    """One query outside any transaction: on SQLite a transaction would wait for whoever is writing."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("SELECT 1")
    finally:
        connection.close()


class Dependencies:
    """The parts that this process needs. A part that hangs occupies one of a few threads, never a request."""

    def __init__(self, checks: dict[str, Callable[[], object]], limit_seconds: float = 3.0) -> None:
        self._checks = checks
        self._limit_seconds = limit_seconds
        self._threads = ThreadPoolExecutor(2 * len(checks), "health")

    @classmethod
    def of(cls, engine: Engine, queue: JobQueue, storage: Storage) -> "Dependencies":
        return cls({"database": lambda: check_database(engine), "broker": queue.check, "storage": storage.check})

    def errors(self) -> dict[str, str | None]:
        """What is wrong with each part, None when it is well. Takes no longer than the limit."""
        outcomes = self.run_checks(self._checks)
        return {name: str(answer) if isinstance(answer, Exception) else None for name, answer in outcomes.items()}

    def run_checks(self, questions: dict[str, Callable[[], Answer]]) -> dict[str, Answer | Exception]:
        """Call each in its own thread: its answer, or why there is none within the limit."""
        futures = {name: self._threads.submit(question) for name, question in questions.items()}
        deadline = monotonic() + self._limit_seconds
        answers: dict[str, Answer | Exception] = {}
        for name, future in futures.items():
            answer = self._outcome(name, future, deadline)
            answers[name] = answer
        return answers

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _outcome(self, part: str, future: Future[Answer], deadline: float) -> Answer | Exception:
        try:
            return future.result(max(0.0, deadline - monotonic()))
        except TimeoutError:
            future.cancel()
            error: Exception = TimeoutError(f"no answer within {self._limit_seconds:g} s")
        except Exception as unreachable:  # each part's client has its own errors, and any of them means "not reachable"
            error = unreachable
        log.warning("dependency.unreachable", dependency=part, error=str(error), kind=type(error).__name__)
        return error
