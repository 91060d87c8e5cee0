"""Refused requests in the audit log, at most a few a minute for each address, so that no client can fill the log."""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from app.auth import audit
from app.auth.audit import ACTOR, Actor
from app.db.outages import OUTAGE_ERRORS
from app.db.projects import ScopedSessions
from app.db.session import SessionFactory

MAX_PER_MINUTE, MAX_ADDRESSES = 10, 10_000


@dataclass(slots=True)
class _Minute:
    """The refusals of an address in one minute."""

    ends_at: float
    count: int = 0


class Refusals:
    """The refusals of a process."""

    def __init__(self, sessions: Callable[[], SessionFactory]) -> None:
        self._sessions = sessions
        self._minutes: dict[str, _Minute] = {}

    def is_due(self, address: str) -> bool:
        """Return whether a refusal of this address is to be recorded; count it."""
        now = monotonic()
        minute = self._minutes.get(address)
        if minute is None or minute.ends_at <= now:
            if len(self._minutes) >= MAX_ADDRESSES:
                self._minutes.clear()
            minute = self._minutes[address] = _Minute(now + 60)
        minute.count += 1
        return minute.count <= MAX_PER_MINUTE

    def record(self, actor: Actor, code: str, target: str) -> None:
        """Write the entry; without a database there is only the response."""
        try:
            with ScopedSessions(self._sessions(), {ACTOR: actor}).begin() as session:
                audit.record(session, f"refuse.{code}", target, audit.REFUSED)
        except OUTAGE_ERRORS:
            audit.log.warning("audit.not_written", action=f"refuse.{code}", object=target, address=actor.address)
