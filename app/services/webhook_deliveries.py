"""The writes of the senders of webhooks: claim a delivery, record its outcome, delete old ones. Nothing here commits.

A claim is a lease: a delivery of a killed sender is due again when the lease has expired. All times are of the database's clock.
"""

import random
import uuid
from dataclasses import dataclass

from sqlalchemy import and_, case, delete, exists, null, or_, select, update
from sqlalchemy.orm import Session, aliased, contains_eager

from app.db.session import db_now
from app.db.webhook_tables import DeliveryRow, WebhookRow

LEASE_SECONDS = 30.0
"""Longer than an attempt, so that no two senders send a delivery at once."""
FIRST_DELAY_SECONDS = 5.0
MAX_DELAY_SECONDS = 8 * 3600.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one attempt; `error` is None if the receiver accepted the event."""

    response_status: int | None
    error: str | None


def claim(session: Session) -> DeliveryRow | None:
    """Return the delivery that is due for longest, leased, with its webhook; None if there is none.

    A webhook gets one delivery at a time, so that a slow receiver occupies one sender.
    """
    other = aliased(DeliveryRow)
    busy = exists().where(other.webhook_id == DeliveryRow.webhook_id, other.lease_expires_at > db_now())
    free = or_(DeliveryRow.lease_expires_at.is_(None), DeliveryRow.lease_expires_at <= db_now())
    due = and_(DeliveryRow.status == "pending", DeliveryRow.next_attempt_at <= db_now(), free)
    query = select(DeliveryRow).join(DeliveryRow.webhook).options(contains_eager(DeliveryRow.webhook))
    query = query.where(due, WebhookRow.enabled, ~busy).order_by(DeliveryRow.next_attempt_at, DeliveryRow.id).limit(1)
    delivery = session.scalars(query.with_for_update(of=DeliveryRow, skip_locked=True)).one_or_none()
    if delivery is not None:
        leased = {"lease_owner": uuid.uuid4().hex, "lease_expires_at": db_now(LEASE_SECONDS), "attempts": delivery.attempts + 1}
        session.execute(update(DeliveryRow).where(DeliveryRow.id == delivery.id).values(leased))
        session.refresh(delivery, ["lease_owner", "attempts"])
    return delivery


def record(session: Session, delivery: DeliveryRow, outcome: Outcome) -> bool:
    """Store the outcome of an attempt; return False if the lease was lost meanwhile, when nothing is written."""
    values = _delivered() if outcome.error is None else _postponed(delivery.attempts)
    values |= {"response_status": outcome.response_status, "error": outcome.error and outcome.error[:500]}
    values |= {"lease_owner": None, "lease_expires_at": None}
    held = DeliveryRow.id == delivery.id, DeliveryRow.lease_owner == delivery.lease_owner
    statement = update(DeliveryRow).where(*held).values(values).returning(DeliveryRow.id)
    if session.execute(statement.execution_options(synchronize_session=False)).one_or_none() is None:
        return False
    _record_health(session, delivery.webhook_id, outcome)
    return True


def delete_old(session: Session, days: float) -> None:
    """Delete the deliveries that ended at least this long ago."""
    session.execute(delete(DeliveryRow).where(DeliveryRow.finished_at <= db_now(-days * 86400)))


def delay_seconds(attempts: int) -> float:
    """Return the time from a failed attempt to the next: it triples up to 8 hours, and varies by a fifth."""
    delay: float = min(FIRST_DELAY_SECONDS * 3.0 ** min(attempts - 1, 20), MAX_DELAY_SECONDS)
    return delay * random.uniform(0.8, 1.2)


def _delivered() -> dict[str, object]:
    return {"status": "delivered", "finished_at": db_now()}


def _postponed(attempts: int) -> dict[str, object]:
    """Return the columns of a failed attempt; the delivery fails for good when no further attempt is in time."""
    delay = delay_seconds(attempts)
    late = DeliveryRow.retry_until < db_now(delay)
    return {
        "status": case((late, "failed"), else_="pending"),
        "finished_at": case((late, db_now()), else_=null()),
        "next_attempt_at": db_now(delay),
    }


def _record_health(session: Session, webhook_id: uuid.UUID, outcome: Outcome) -> None:
    """Note since when the webhook fails; write only when that changes."""
    changes = WebhookRow.failing_since.is_not(None) if outcome.error is None else WebhookRow.failing_since.is_(None)
    since = null() if outcome.error is None else db_now()
    statement = update(WebhookRow).where(WebhookRow.id == webhook_id, changes)
    values = {"failing_since": since, "updated_at": WebhookRow.updated_at}
    session.execute(statement.values(values).execution_options(synchronize_session=False))
