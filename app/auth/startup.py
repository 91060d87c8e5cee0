"""The check before a server starts: one that others can reach needs keys, and somebody must have one."""

from sqlalchemy.exc import IntegrityError

from app.auth import keys
from app.auth.audit import ACTOR, Actor
from app.auth.modes import needs_keys
from app.db.projects import ScopedSessions
from app.db.session import SessionFactory
from app.model_reference import DEFAULT_PROJECT
from app.settings import Settings


class NoKeysError(Exception):
    """A server needs keys, and there are none."""


def prepare(sessions: SessionFactory, settings: Settings, host: str) -> None:
    """Store the administrator's key of the settings. Raise NoKeysError if a server on `host` needs keys and none can be used."""
    if settings.admin_key is not None:
        try:
            with ScopedSessions(sessions, {ACTOR: Actor("settings", DEFAULT_PROJECT)}).begin() as session:
                keys.store_admin_key(session, settings.admin_key.get_secret_value())
        except IntegrityError:  # another process has stored it meanwhile
            pass
    if not needs_keys(settings, host):
        return
    with sessions.begin() as session:
        if not keys.has_any(session):
            raise NoKeysError(
                f"There is no API key, and anybody who reaches {host} could read and change everything. Make a key: "
                "`isthmus keys create me --scopes admin`, or set ISTHMUS_ADMIN_KEY. ISTHMUS_AUTH=off starts without keys."
            )
