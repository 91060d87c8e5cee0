"""Counts and log lines of requests and connections that the server refuses before a route sees them."""

from time import monotonic

import structlog

from app.observability.counters import CounterVec

log = structlog.get_logger("isthmus.refusals")

REFUSALS = CounterVec("isthmus_http_refusals", "Requests and connections that were refused before any route.", ["code"])
LOG_SECONDS = 10.0
"""Minimum time between two log lines about the same kind of refusal."""

_last_lines: dict[str, tuple[float, float]] = {}


def record_refusal(code: str, client: str = "", **details: object) -> None:
    """Count a refusal. Log the first of its kind, and then one line with the number of the others per interval."""
    counter, now = REFUSALS.labels(code), monotonic()
    counter.inc()
    last, counted = _last_lines.get(code, (-LOG_SECONDS, 0))
    if now - last >= LOG_SECONDS:
        _last_lines[code] = (now, counter.value)
        log.warning("http.refused", code=code, count=counter.value - counted, client=client, **details)
