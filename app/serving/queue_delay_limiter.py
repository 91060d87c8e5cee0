"""The longest time that a request may wait before it is rejected."""

from time import monotonic

from app.errors import Overloaded

SUSTAINED_FRACTION = 0.3
RECOVERY_SECONDS = 1.0


class QueueDelayLimiter:
    """A limit on queue delay: `seconds` in a burst, three tenths of it under sustained overload.

    The lower limit holds from a rejection until one second passes without another. A queue that never empties adds delay, but no
    throughput.
    Nichols and Jacobson, Controlling queue delay, 2012, https://doi.org/10.1145/2209249.2209264
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._rejected_at = -RECOVERY_SECONDS

    def check(self, wait: float) -> None:
        """Raise Overloaded if a request that waited, or would wait, for `wait` seconds exceeds the limit."""
        if wait <= self._seconds * SUSTAINED_FRACTION:
            return
        now = monotonic()
        if wait > self._seconds or now - self._rejected_at < RECOVERY_SECONDS:
            self._rejected_at = now
            raise Overloaded
