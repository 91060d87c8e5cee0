"""The audit log: who changed or downloaded what, and who was refused.

A service records an entry in the transaction of its change, so that neither exists without the other. The session knows the
caller (`Actor`). Sessions without one, such as those of workers, record nothing. The lines of the logger `isthmus.audit` follow
the commit.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import structlog
from sqlalchemy import delete, event, select
from sqlalchemy.orm import Session

from app.db.session import db_now
from app.db.tables import AuditRow

log = structlog.get_logger("isthmus.audit")

ACTOR = "actor"
"""The member of `Session.info` that holds the `Actor`."""
SUCCEEDED, REFUSED = "succeeded", "refused"
DAY_SECONDS = 24 * 3600
MAX_OBJECT_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts in a session: the key, its project, the id of the request and the client's address."""

    key_id: str
    project: str
    request_id: str | None = None
    address: str | None = None


def record(session: Session, action: str, object: str, outcome: str = SUCCEEDED) -> None:
    """Add an entry such as `dataset.delete` on `datasets/<id>` to this transaction, if the session has an actor."""
    actor = session.info.get(ACTOR)
    if actor is None:
        return
    printable = "".join(character if character.isprintable() else "?" for character in object[:MAX_OBJECT_LENGTH])
    entry = {**asdict(actor), "action": action, "object": printable, "outcome": outcome}
    session.add(AuditRow(**entry))
    event.listen(session, "after_commit", lambda _: log.info("audit", **entry), once=True)


def page(session: Session, limit: int, before: int | None, project: str | None = None) -> Sequence[AuditRow]:
    """Return entries, newest first, of all projects or of one; `before` is the id of the last entry of the previous page."""
    query = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
    if before is not None:
        query = query.where(AuditRow.id < before)
    if project is not None:
        query = query.where(AuditRow.project == project)
    return session.scalars(query).all()


def delete_old(session: Session, days: float) -> None:
    """Delete the entries that are older than `days`."""
    session.execute(delete(AuditRow).where(AuditRow.at < db_now(-days * DAY_SECONDS)))
