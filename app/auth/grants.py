"""The callers that this process knows, by the `Authorization` header they sent: a known key needs no query.

Context: a prediction takes microseconds, and a revoked key must be refused within a second by every server. Decision: a header
that was checked once is kept with its grant. Every change of a key raises the registry revision, and then the kept keys are
checked again. Cached heads of the fast path hold the grant as well; a grant that has ended is marked, so that nothing has to
search for it. While the database is unreachable, known keys stay valid and unknown ones are answered with 503.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from time import time

from app.auth import keys
from app.auth.caller import LOCAL, Caller
from app.auth.caller_limits import AllLimits, CallerLimits, LimitsPerKey
from app.db.session import SessionFactory
from app.errors import Unauthenticated

MAX_CACHED = 10_000
USE_SECONDS = 60
"""Interval between writes of the time of the last use."""
_SCHEME = "bearer "


class Grant:
    """A caller with a valid key, and its limits. `is_valid` becomes false when the key is revoked or expires."""

    __slots__ = ("caller", "expires_at", "is_used", "is_valid", "limits")

    def __init__(self, caller: Caller, limits: CallerLimits, expires_at: float | None = None) -> None:
        self.caller, self.limits, self.expires_at, self.is_used, self.is_valid = caller, limits, expires_at, False, True


class Grants:
    """The grants of a process. Without `keys_needed` every caller is `local`."""

    def __init__(self, sessions: Callable[[], SessionFactory], keys_needed: bool, limits: LimitsPerKey) -> None:
        self._sessions = sessions
        self.keys_needed = keys_needed
        self._limits = AllLimits(limits)
        self._local = Grant(LOCAL, self._limits.of(LOCAL.key_id))
        self._known: dict[bytes, Grant] = {}
        self._storing = Lock()
        self._uses_written_at, self._refreshes = time(), 0
        self.threads = ThreadPoolExecutor(2, "keys")
        """Threads for `check`, so that unknown keys take none from other requests."""

    def get(self, header: bytes | None) -> Grant | None:
        """Return the grant of a header that was checked before."""
        if not self.keys_needed:
            return self._local
        return self._known.get(header) if header is not None else None

    def check(self, header: bytes | None) -> Grant:
        """Return the grant of a header after a query. Raise Unauthenticated, SQLAlchemyError."""
        if header is None:
            raise Unauthenticated
        while True:
            refreshes = self._refreshes
            grant = self._query(_token(header))
            self._store(header, grant)
            if refreshes == self._refreshes:  # otherwise a change during the query may be missing from its result
                return grant
            self._end([header])

    def refresh(self) -> None:
        """End the grants of keys that were revoked. Raise SQLAlchemyError."""
        self._refreshes += 1
        known = dict(self._known)
        if not known:
            return
        with self._sessions().for_reading() as session:
            usable = keys.usable_ids(session, list({grant.caller.key_id for grant in known.values()}))
        self._end([header for header, grant in known.items() if grant.caller.key_id not in usable])

    def tick(self) -> None:
        """End the grants of keys that have expired; write the times of last uses once a minute. Raise SQLAlchemyError."""
        now = time()
        self._end(
            [header for header, grant in dict(self._known).items() if grant.expires_at is not None and grant.expires_at <= now]
        )
        if now - self._uses_written_at >= USE_SECONDS:
            self.write_uses()

    def write_uses(self) -> None:
        """Write the times of last uses. Raise SQLAlchemyError."""
        self._uses_written_at = time()
        used = [grant for grant in dict(self._known).values() if grant.is_used]
        if used:
            with self._sessions().begin() as session:
                keys.note_use(session, list({grant.caller.key_id for grant in used}))
        for grant in used:
            grant.is_used = False

    def close(self) -> None:
        """Stop the threads."""
        self.threads.shutdown(wait=False, cancel_futures=True)

    def _query(self, text: str) -> Grant:
        with self._sessions().for_reading() as session:
            row = keys.find(session, text)
        if row is None:
            raise Unauthenticated("This API key is not valid: it is unknown, has expired or was revoked.")
        expires_at = None if row.expires_at is None else row.expires_at.timestamp()
        return Grant(keys.caller_of(row), self._limits.of(row.id), expires_at)

    def _store(self, header: bytes, grant: Grant) -> None:
        """Keep a grant. One that is no longer kept has to end, because cached heads may hold it."""
        with self._storing:
            self._end(list(self._known) if len(self._known) >= MAX_CACHED else [header])
            self._known[header] = grant

    def _end(self, headers: list[bytes]) -> None:
        for header in headers:
            grant = self._known.pop(header, None)
            if grant is not None:
                grant.is_valid = False


def _token(header: bytes) -> str:
    """Return the key in a header. Raise Unauthenticated."""
    text = header.decode("latin-1")
    if not text[: len(_SCHEME)].lower() == _SCHEME or not text.isascii():
        raise Unauthenticated
    return text[len(_SCHEME) :].strip()
