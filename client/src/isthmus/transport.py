"""The only module that knows HTTP: requests with retries, errors by status, downloads."""

import asyncio
import json
import os
import random
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

import httpx2

from isthmus.errors import ConnectionFailedError, status_error

T = TypeVar("T")
DEFAULT_URL = "http://127.0.0.1:8000"
RETRIED = {429, 502, 503, 504}
REFUSED = {429, 503}
"""The service did nothing: even a call that is not repeatable can be sent again."""
MAX_DELAY = 30.0
TIMEOUT = httpx2.Timeout(600, connect=10)


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request and the way to read its response."""

    method: str
    path: str
    read: Callable[[Any, Any], T]
    """From the decoded response and the client to the result."""
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    form: Mapping[str, str] = field(default_factory=dict)
    file: tuple[str, Callable[[], BinaryIO]] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    """Whether sending it twice has the same effect as sending it once."""

    def arguments(self, opened: ExitStack) -> dict[str, Any]:
        """Return the arguments of a request of httpx2; the file is read from its beginning."""
        query = {name: value for name, value in self.query.items() if value is not None}
        arguments: dict[str, Any] = {"method": self.method, "url": self.path, "params": query, "headers": dict(self.headers)}
        if self.file is not None:
            name, open_file = self.file
            stream = opened.enter_context(open_file())
            stream.seek(0)
            return arguments | {"data": dict(self.form), "files": {"file": (name, stream)}}
        if self.body is not None:
            arguments["content"] = json.dumps(self.body).encode()
            arguments["headers"]["Content-Type"] = "application/json"
        return arguments

    def result(self, response: httpx2.Response, client: Any) -> T:
        """Return the result of a response. Raise the error of its status."""
        if response.is_error:
            raise _error(response)
        is_json = "json" in response.headers.get("content-type", "")
        return self.read(response.json() if is_json else response.content, client)


@dataclass(frozen=True)
class Connection:
    """Where the service is and how to call it."""

    url: str
    api_key: str | None
    max_retries: int

    @classmethod
    def of(cls, url: str | None, api_key: str | None, max_retries: int) -> "Connection":
        """Complete the arguments from `ISTHMUS_URL` and `ISTHMUS_API_KEY`."""
        address = url or os.environ.get("ISTHMUS_URL") or DEFAULT_URL
        return cls(address.rstrip("/"), api_key or os.environ.get("ISTHMUS_API_KEY") or None, max_retries)

    def options(self) -> dict[str, Any]:
        """Return the arguments of a client of httpx2. Proxies of the environment are not used for this machine."""
        headers = {"User-Agent": "isthmus-client", "Accept": "application/json"}
        headers |= {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        is_local = httpx2.URL(self.url).host in ("127.0.0.1", "localhost", "::1")
        return {"base_url": self.url, "headers": headers, "timeout": TIMEOUT, "trust_env": not is_local}

    def delay(self, call: Call[Any], tried: int, outcome: httpx2.Response | httpx2.TransportError) -> float | None:
        """Return the seconds before the next attempt: `Retry-After`, or exponential with jitter; None if there is none."""
        stated = ""
        if isinstance(outcome, httpx2.Response):
            again = outcome.status_code in (RETRIED if call.repeatable else REFUSED)
            stated = outcome.headers.get("retry-after", "")
        else:
            again = call.repeatable or isinstance(outcome, httpx2.ConnectError | httpx2.ConnectTimeout)
        if not again or tried >= self.max_retries:
            return None
        if stated.isdigit():
            return min(float(stated), MAX_DELAY) + random.uniform(0, 0.25)
        return float(min(0.5 * 2**tried, MAX_DELAY)) * random.uniform(0.5, 1)

    def unreachable(self, error: Exception) -> ConnectionFailedError:
        reason = str(error) or type(error).__name__
        return ConnectionFailedError(f"The service at {self.url} cannot be reached: {reason}. Set ISTHMUS_URL.")


def _error(response: httpx2.Response) -> Exception:
    try:
        problem = response.json()
    except ValueError:
        problem = {"detail": response.text[:200]}
    return status_error(response.status_code, problem, response.headers.get("x-request-id"))


class Transport:
    """Blocking requests."""

    def __init__(self, connection: Connection, http: httpx2.Client | None) -> None:
        self.connection = connection
        self._http = http or httpx2.Client(**connection.options())

    def send(self, call: Call[T], client: Any) -> T:
        """Send a call until its outcome is final. Raise IsthmusError."""
        tried = 0
        while True:
            outcome = self._try(call)
            delay = self.connection.delay(call, tried, outcome)
            if delay is None:
                break
            tried += 1
            time.sleep(delay)
        if isinstance(outcome, httpx2.Response):
            return call.result(outcome, client)
        raise self.connection.unreachable(outcome) from outcome

    def _try(self, call: Call[Any]) -> httpx2.Response | httpx2.TransportError:
        with ExitStack() as opened:
            try:
                return self._http.request(**call.arguments(opened))
            except httpx2.TransportError as error:
                return error

    def download(self, path: str, file: Path) -> Path:
        """Stream a file to disk; an incomplete download leaves no file of that name."""
        partial = file.with_name(f"{file.name}.part")
        try:
            with self._http.stream("GET", path) as response, partial.open("wb") as target:
                if response.is_error:
                    response.read()
                    raise _error(response)
                for chunk in response.iter_bytes():
                    target.write(chunk)
            return partial.replace(file)
        except httpx2.TransportError as error:
            raise self.connection.unreachable(error) from error
        finally:
            partial.unlink(missing_ok=True)

    def close(self) -> None:
        self._http.close()


class AsyncTransport:
    """The same requests without blocking the event loop."""

    def __init__(self, connection: Connection, http: httpx2.AsyncClient | None) -> None:
        self.connection = connection
        self._http = http or httpx2.AsyncClient(**connection.options())

    async def send(self, call: Call[T], client: Any) -> T:
        """Send a call until its outcome is final. Raise IsthmusError."""
        tried = 0
        while True:
            outcome = await self._try(call)
            delay = self.connection.delay(call, tried, outcome)
            if delay is None:
                break
            tried += 1
            await asyncio.sleep(delay)
        if isinstance(outcome, httpx2.Response):
            return call.result(outcome, client)
        raise self.connection.unreachable(outcome) from outcome

    async def _try(self, call: Call[Any]) -> httpx2.Response | httpx2.TransportError:
        with ExitStack() as opened:
            try:
                return await self._http.request(**call.arguments(opened))
            except httpx2.TransportError as error:
                return error

    async def close(self) -> None:
        await self._http.aclose()
