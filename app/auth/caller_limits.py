"""What one key may use of a server: requests and inputs per second, open streams, uploads.

Decision: each server counts on its own, in memory. Context: a limit protects the sockets, threads and cores of one server, and a
prediction cannot wait for a shared counter. Consequence: behind n servers a key may use n times as much. Alternatives: counters
in Redis or in the database add a round trip to each request, and an outage of either would decide over all requests.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.auth.rate_limits import TokenBucket
from app.errors import RateLimited
from app.settings import Settings

MAX_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class LimitsPerKey:
    """The limits of each key; 0 means no limit. Streams are event streams and requests that wait for a change of a job."""

    requests_per_second: float = 0
    inputs_per_second: float = 0
    open_streams: int = 0
    uploads: int = 0

    @classmethod
    def of(cls, settings: Settings) -> "LimitsPerKey":
        rates = settings.rate_requests_per_second, settings.rate_inputs_per_second
        return cls(*rates, settings.max_streams_per_key, settings.max_uploads_per_key)


class Slots:
    """The things of one kind that a key may have at the same time. They are taken and freed in the event loop."""

    __slots__ = ("_limit", "_noun", "_used")

    def __init__(self, limit: int, noun: str) -> None:
        self._limit, self._noun, self._used = limit, noun, 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold a slot while the block runs. Raise RateLimited if there is none."""
        if self._limit and self._used >= self._limit:
            headers = {"Retry-After": "1"}
            raise RateLimited(f"This key has {self._used} {self._noun}, as many as it may. Wait until one ends.", headers=headers)
        self._used += 1
        try:
            yield
        finally:
            self._used -= 1


class CallerLimits:
    """The limits of one key and what it uses of them. Requests and inputs are None without a limit."""

    __slots__ = ("has_rates", "inputs", "requests", "streams", "uploads")

    def __init__(self, limits: LimitsPerKey) -> None:
        self.requests = _bucket(limits.requests_per_second, "requests")
        self.inputs = _bucket(limits.inputs_per_second, "inputs")
        self.streams = Slots(limits.open_streams, "open event streams and waiting requests")
        self.uploads = Slots(limits.uploads, "uploads in progress")
        self.has_rates = self.requests is not None or self.inputs is not None

    def allow_prediction(self) -> bool:
        """Return whether a prediction may be answered now."""
        return all(bucket.has_token() for bucket in (self.requests, self.inputs) if bucket is not None)

    def count_prediction(self, inputs: int) -> None:
        """Count a request with this number of inputs."""
        if self.requests is not None:
            self.requests.take()
        self.count_inputs(inputs)

    def count_inputs(self, inputs: int) -> None:
        """Count inputs. More than the key may send now delay its next request."""
        if self.inputs is not None:
            self.inputs.spend(inputs)

    def require_request(self) -> None:
        """Count a request. Raise RateLimited if the key may send none now."""
        if self.requests is not None:
            self.requests.require()

    def require_inputs(self) -> None:
        """Raise RateLimited if the key may send no input now."""
        if self.inputs is not None and not self.inputs.has_token():
            raise self.inputs.refusal()


class AllLimits:
    """The limits of all keys of a process."""

    def __init__(self, limits: LimitsPerKey) -> None:
        self._limits = limits
        self._by_key: dict[str, CallerLimits] = {}

    def of(self, key_id: str) -> CallerLimits:
        """Return the limits of a key, the same ones for all its requests."""
        if len(self._by_key) >= MAX_KEYS and key_id not in self._by_key:
            self._by_key = {}
        return self._by_key.setdefault(key_id, CallerLimits(self._limits))


def _bucket(rate: float, unit: str) -> TokenBucket | None:
    return TokenBucket(rate, unit) if rate else None
