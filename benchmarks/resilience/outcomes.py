"""Words for what happened to many requests."""

from collections import Counter
from collections.abc import Iterable


def counted(statuses: Iterable[int | str]) -> str:
    """Return `200 x 500, 503 x 20`."""
    return ", ".join(f"{status} x {count}" for status, count in sorted(Counter(statuses).items(), key=str))
