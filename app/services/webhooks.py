"""The rules of webhooks for callers: addresses, secrets, and the list of deliveries. The session shows those of its project."""

import base64
import secrets
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.auth import audit
from app.db.session import db_now
from app.db.webhook_tables import DeliveryRow, WebhookRow
from app.errors import DeliveryNotFound, FieldError, InvalidRequest, WebhookNotFound
from app.services import pagination, webhook_events
from app.services.webhook_addresses import literal_address, refusal

MAX_WEBHOOKS = 50
"""Webhooks of a project: each event writes one delivery for each."""


def create(session: Session, url: str, events: list[str], secret: str | None, private_addresses: bool) -> WebhookRow:
    """Store a webhook, with a new secret unless one is given. Raise InvalidRequest."""
    count = session.scalar(select(func.count()).select_from(WebhookRow))
    if (count or 0) >= MAX_WEBHOOKS:
        raise InvalidRequest(f"The project has {MAX_WEBHOOKS} webhooks, as many as are allowed. Delete one first.")
    _check_url(url, private_addresses)
    webhook = WebhookRow(url=url, events=events, secret=secret or _new_secret())
    session.add(webhook)
    session.flush()
    audit.record(session, "webhook.create", f"webhooks/{webhook.id}")
    return webhook


def page(session: Session, limit: int, after: str | None) -> tuple[list[WebhookRow], str | None]:
    """Return one page of webhooks, newest first, and the cursor of the next one."""
    return pagination.page(session, select(WebhookRow), WebhookRow, limit, after)


def get(session: Session, webhook_id: UUID) -> WebhookRow:
    """Return one webhook. Raise WebhookNotFound."""
    webhook = session.scalars(select(WebhookRow).where(WebhookRow.id == webhook_id)).one_or_none()
    if webhook is None:
        raise WebhookNotFound(f"There is no webhook {webhook_id}.")
    return webhook


def change(session: Session, webhook_id: UUID, changes: dict[str, Any], private_addresses: bool) -> WebhookRow:
    """Change the named fields of a webhook. Raise WebhookNotFound, InvalidRequest."""
    webhook = get(session, webhook_id)
    if "url" in changes:
        _check_url(changes["url"], private_addresses)
    for name, value in changes.items():
        setattr(webhook, name, value)
    audit.record(session, "webhook.change", f"webhooks/{webhook_id}")
    session.flush()
    session.refresh(webhook)
    return webhook


def delete(session: Session, webhook_id: UUID) -> None:
    """Delete a webhook with its deliveries. Raise WebhookNotFound."""
    session.delete(get(session, webhook_id))
    audit.record(session, "webhook.delete", f"webhooks/{webhook_id}")


def test(session: Session, webhook_id: UUID) -> DeliveryRow:
    """Queue a test event for a webhook. Raise WebhookNotFound."""
    delivery = webhook_events.test(session, get(session, webhook_id))
    audit.record(session, "webhook.test", f"webhooks/{webhook_id}")
    session.flush()
    return delivery


def deliveries(session: Session, webhook_id: UUID, limit: int, after: str | None) -> tuple[list[DeliveryRow], str | None]:
    """Return one page of a webhook's deliveries, newest first, and the cursor of the next one. Raise WebhookNotFound."""
    query = select(DeliveryRow).where(DeliveryRow.webhook_id == get(session, webhook_id).id)
    return pagination.page(session, query, DeliveryRow, limit, after)


def redeliver(session: Session, webhook_id: UUID, delivery_id: UUID) -> DeliveryRow:
    """Send a delivery again, now, with new retries. Raise WebhookNotFound, DeliveryNotFound."""
    get(session, webhook_id)
    delivery = session.get(DeliveryRow, delivery_id, with_for_update=True)
    if delivery is None or delivery.webhook_id != webhook_id:
        raise DeliveryNotFound(f"The webhook {webhook_id} has no delivery {delivery_id}.")
    delivery.status, delivery.finished_at, delivery.attempts = "pending", None, 0
    delivery.next_attempt_at, delivery.retry_until = db_now(), db_now(webhook_events.RETRY_SECONDS)
    audit.record(session, "webhook.redeliver", f"webhooks/{webhook_id}/deliveries/{delivery_id}")
    session.flush()
    session.refresh(delivery)
    return delivery


def _check_url(url: str, private_addresses: bool) -> None:
    """Raise InvalidRequest for a private address in the URL; those of names are checked before each attempt."""
    address = literal_address(url)
    reason = None if address is None or private_addresses else refusal(address)
    if reason:
        raise InvalidRequest(errors=[FieldError("/url", reason)])


def _new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
