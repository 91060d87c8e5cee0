"""The rules of webhooks for callers: addresses, secrets, and the list of deliveries."""

import base64
import secrets
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class WebhookScope:
    """The project whose webhooks a caller uses, and whether their addresses may be private."""

    project: str
    private_addresses: bool


def create(session: Session, scope: WebhookScope, url: str, events: list[str], secret: str | None) -> WebhookRow:
    """Store a webhook, with a new secret unless one is given. Raise InvalidRequest."""
    count = session.scalar(select(func.count()).select_from(WebhookRow).where(WebhookRow.project == scope.project))
    if (count or 0) >= MAX_WEBHOOKS:
        raise InvalidRequest(f"The project has {MAX_WEBHOOKS} webhooks, as many as are allowed. Delete one first.")
    _check_url(url, scope.private_addresses)
    webhook = WebhookRow(project=scope.project, url=url, events=events, secret=secret or _new_secret())
    session.add(webhook)
    session.flush()
    audit.record(session, "webhook.create", f"webhooks/{webhook.id}")
    return webhook


def page(session: Session, project: str, limit: int, after: str | None) -> tuple[list[WebhookRow], str | None]:
    """Return one page of a project's webhooks, newest first, and the cursor of the next one."""
    return pagination.page(session, select(WebhookRow).where(WebhookRow.project == project), WebhookRow, limit, after)


def get(session: Session, project: str, webhook_id: UUID) -> WebhookRow:
    """Return one webhook. Raise WebhookNotFound, also for one of another project."""
    webhook = session.get(WebhookRow, webhook_id)
    if webhook is None or webhook.project != project:
        raise WebhookNotFound(f"There is no webhook {webhook_id}.")
    return webhook


def change(session: Session, scope: WebhookScope, webhook_id: UUID, changes: dict[str, Any]) -> WebhookRow:
    """Change the named fields of a webhook. Raise WebhookNotFound, InvalidRequest."""
    webhook = get(session, scope.project, webhook_id)
    if "url" in changes:
        _check_url(changes["url"], scope.private_addresses)
    for name, value in changes.items():
        setattr(webhook, name, value)
    audit.record(session, "webhook.change", f"webhooks/{webhook_id}")
    session.flush()
    session.refresh(webhook)
    return webhook


def delete(session: Session, project: str, webhook_id: UUID) -> None:
    """Delete a webhook with its deliveries. Raise WebhookNotFound."""
    session.delete(get(session, project, webhook_id))
    audit.record(session, "webhook.delete", f"webhooks/{webhook_id}")


def test(session: Session, project: str, webhook_id: UUID) -> DeliveryRow:
    """Queue a test event for a webhook. Raise WebhookNotFound."""
    delivery = webhook_events.test(session, get(session, project, webhook_id))
    audit.record(session, "webhook.test", f"webhooks/{webhook_id}")
    session.flush()
    return delivery


def deliveries(
    session: Session, project: str, webhook_id: UUID, limit: int, after: str | None
) -> tuple[list[DeliveryRow], str | None]:
    """Return one page of a webhook's deliveries, newest first, and the cursor of the next one. Raise WebhookNotFound."""
    query = select(DeliveryRow).where(DeliveryRow.webhook_id == get(session, project, webhook_id).id)
    return pagination.page(session, query, DeliveryRow, limit, after)


def redeliver(session: Session, project: str, webhook_id: UUID, delivery_id: UUID) -> DeliveryRow:
    """Send a delivery again, now, with new retries. Raise WebhookNotFound, DeliveryNotFound."""
    get(session, project, webhook_id)
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
