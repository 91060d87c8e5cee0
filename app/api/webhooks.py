"""Routes of webhooks."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from app.api.authorization import requires
from app.api.deps import RequireJson, SessionDep, SettingsDep, error_responses
from app.errors import DeliveryNotFound, InvalidRequest, UnsupportedContentType, UploadTooLarge, WebhookNotFound
from app.schemas.pagination import Page
from app.schemas.webhooks import DeliveryOut, WebhookChange, WebhookCreate, WebhookCreated, WebhookOut
from app.services import webhooks

router = APIRouter(prefix="/webhooks", tags=["webhooks"])

Limit = Annotated[int, Query(ge=1, le=100)]
After = Annotated[str | None, Query(max_length=500, description="`next` of the previous page.")]
_READ, _WRITE = requires("webhooks:read"), requires("webhooks:write")
_BODY_ERRORS = (InvalidRequest, UploadTooLarge, UnsupportedContentType)


@router.post("", status_code=201, dependencies=[_WRITE, RequireJson], responses=error_responses(*_BODY_ERRORS))
def create_webhook(body: WebhookCreate, session: SessionDep, settings: SettingsDep) -> WebhookCreated:
    """Add a webhook. Events from now on are sent to it, signed by Standard Webhooks, at least once each."""
    allows_private = settings.webhook_private_addresses
    return WebhookCreated.of(webhooks.create(session, str(body.url), list(body.events), body.secret, allows_private))


@router.get("", dependencies=[_READ], responses=error_responses(InvalidRequest))
def list_webhooks(session: SessionDep, limit: Limit = 20, after: After = None) -> Page[WebhookOut]:
    """List all webhooks, newest first."""
    rows, cursor = webhooks.page(session, limit, after)
    return Page(data=[WebhookOut.of(row) for row in rows], next=cursor)


@router.get("/{webhook_id}", dependencies=[_READ], responses=error_responses(WebhookNotFound, InvalidRequest))
def get_webhook(webhook_id: UUID, session: SessionDep) -> WebhookOut:
    """Return one webhook and whether its receiver accepts deliveries."""
    return WebhookOut.of(webhooks.get(session, webhook_id))


@router.patch("/{webhook_id}", dependencies=[_WRITE, RequireJson], responses=error_responses(WebhookNotFound, *_BODY_ERRORS))
def change_webhook(webhook_id: UUID, body: WebhookChange, session: SessionDep, settings: SettingsDep) -> WebhookOut:
    """Change the given fields of a webhook."""
    return WebhookOut.of(webhooks.change(session, webhook_id, body.changes(), settings.webhook_private_addresses))


@router.delete(
    "/{webhook_id}", status_code=204, dependencies=[_WRITE], responses=error_responses(WebhookNotFound, InvalidRequest)
)
def delete_webhook(webhook_id: UUID, session: SessionDep) -> None:
    """Delete a webhook and its deliveries, also those that were not sent yet."""
    webhooks.delete(session, webhook_id)


@router.post(
    "/{webhook_id}/test", status_code=202, dependencies=[_WRITE], responses=error_responses(WebhookNotFound, InvalidRequest)
)
def test_webhook(webhook_id: UUID, session: SessionDep) -> DeliveryOut:
    """Send the event `webhook.test`. The list of deliveries shows what the receiver responded."""
    return DeliveryOut.of(webhooks.test(session, webhook_id))


@router.get("/{webhook_id}/deliveries", dependencies=[_READ], responses=error_responses(WebhookNotFound, InvalidRequest))
def list_deliveries(webhook_id: UUID, session: SessionDep, limit: Limit = 20, after: After = None) -> Page[DeliveryOut]:
    """List the deliveries of a webhook, newest first."""
    rows, cursor = webhooks.deliveries(session, webhook_id, limit, after)
    return Page(data=[DeliveryOut.of(row) for row in rows], next=cursor)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/redeliver",
    status_code=202,
    dependencies=[_WRITE],
    responses=error_responses(WebhookNotFound, DeliveryNotFound, InvalidRequest),
)
def redeliver(webhook_id: UUID, delivery_id: UUID, session: SessionDep) -> DeliveryOut:
    """Send a delivery again with the same `webhook-id`. It is retried for another 72 hours."""
    return DeliveryOut.of(webhooks.redeliver(session, webhook_id, delivery_id))
