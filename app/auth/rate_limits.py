"""Rate limits of callers: one token bucket for each key in each server.

Decision: own code of a few lines. A prediction takes about 60 us, and the windows of the package `limits` cost a fifth of that.
"""

from math import ceil
from time import monotonic

from app.errors import RateLimited

BURST_SECONDS = 10
"""A key that was silent for this long may send the requests of this time at once."""
MAX_BUCKETS = 10_000


class TokenBucket:
    """The requests that a key may still send. It fills at `rate` tokens a second."""

    __slots__ = ("_capacity", "_rate", "_tokens", "_updated_at")

    def __init__(self, rate: float) -> None:
        self._rate, self._capacity = rate, max(1.0, rate * BURST_SECONDS)
        self._tokens, self._updated_at = self._capacity, monotonic()

    def has_token(self) -> bool:
        """Return whether `take` would succeed now."""
        now = monotonic()
        self._tokens = min(self._capacity, self._tokens + (now - self._updated_at) * self._rate)
        self._updated_at = now
        return self._tokens >= 1.0

    def take(self) -> bool:
        """Take one token; return False if there is none."""
        if not self.has_token():
            return False
        self._tokens -= 1.0
        return True

    def require(self) -> None:
        """Take one token. Raise RateLimited if there is none, with the headers of the IETF draft `RateLimit header fields`."""
        if not self.take():
            seconds = max(1, ceil((1.0 - self._tokens) / self._rate))
            policy = f'"requests";q={int(self._capacity)};w={BURST_SECONDS}'
            headers = {"Retry-After": str(seconds), "RateLimit-Policy": policy, "RateLimit": f'"requests";r=0;t={seconds}'}
            raise RateLimited(f"This key may send {self._rate:g} requests per second. Try again in {seconds} s.", headers=headers)


class RateLimits:
    """The buckets of all keys. A `rate` of 0 means no limit."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._buckets: dict[str, TokenBucket] = {}

    def bucket(self, key_id: str) -> TokenBucket | None:
        """Return the bucket of a key, None without a limit."""
        if not self._rate:
            return None
        if len(self._buckets) >= MAX_BUCKETS:
            self._buckets = {}
        return self._buckets.setdefault(key_id, TokenBucket(self._rate))
