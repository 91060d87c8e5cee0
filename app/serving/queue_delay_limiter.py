"""How long a request may wait for its turn before it is better refused."""

from time import monotonic

from app.errors import Overloaded

SUSTAINED_FRACTION = 0.3
RECOVERY_SECONDS = 1.0


class QueueDelayLimiter:
    """A burst may wait `seconds`; after a refusal, three tenths of that, until nothing had to be refused for a second.

    More answers do not come from a queue that never empties, only later ones.
    Nichols and Jacobson, Controlling queue delay, 2012, https://doi.org/10.1145/2209249.2209264
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._refused_at = -RECOVERY_SECONDS

    def check(self, wait: float) -> None:
        """Raises Overloaded where a request had to wait, or would have to, for so many seconds."""
        if wait <= self._seconds * SUSTAINED_FRACTION:
            return
        now = monotonic()
        if wait > self._seconds or now - self._refused_at < RECOVERY_SECONDS:
            self._refused_at = now
            raise Overloaded
