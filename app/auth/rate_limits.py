"""Rates of callers: token buckets of requests and of the inputs of predictions.

Decision: own code of a few lines. A prediction takes about 60 us, and the windows of the package `limits` cost a fifth of that.
"""

from math import ceil
from time import monotonic

from app.errors import RateLimited

BURST_SECONDS = 10
"""A key that was silent for this long may send what it may send in this time at once."""


class TokenBucket:
    """The requests or inputs that a key may still send. It fills at `rate` tokens a second."""

    __slots__ = ("_capacity", "_rate", "_tokens", "_unit", "_updated_at")

    def __init__(self, rate: float, unit: str = "requests") -> None:
        self._rate, self._unit, self._capacity = rate, unit, max(1.0, rate * BURST_SECONDS)
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

    def spend(self, count: int) -> None:
        """Take tokens, also more than there are: the bucket has none until they are filled up again."""
        self._tokens -= count

    def require(self) -> None:
        """Take one token. Raise RateLimited if there is none."""
        if not self.take():
            raise self.refusal()

    def refusal(self) -> RateLimited:
        """Return the error of an empty bucket, with the headers of the IETF draft `RateLimit header fields`."""
        seconds = max(1, ceil((1.0 - self._tokens) / self._rate))
        policy = f'"{self._unit}";q={int(self._capacity)};w={BURST_SECONDS}'
        headers = {"Retry-After": str(seconds), "RateLimit-Policy": policy, "RateLimit": f'"{self._unit}";r=0;t={seconds}'}
        message = f"This key may send {self._rate:g} {self._unit} per second. Try again in {seconds} s."
        return RateLimited(message, headers=headers)
