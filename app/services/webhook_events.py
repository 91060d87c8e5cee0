"""The events that webhooks receive, each written as deliveries in the transaction of the change.

Context: a request from within a transaction could announce a change that is rolled back; one after it is lost when the process
dies. Decision: an outbox. The transaction of the change inserts one row for each webhook that wants the event, and workers send
the rows (`worker.webhooks`). Consequence: every event arrives at least once, and a receiver may see one twice. Alternatives: a
message for each event (lost with the broker, and no list of deliveries).
"""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.session import db_now
from app.db.tables import JobRow, ModelRow
from app.db.webhook_tables import DeliveryRow, WebhookRow
from app.job_types import JOB_TYPES

JOB_FINISHED = "job.finished"
VERSION_REGISTERED = "version.registered"
ALIAS_MOVED = "alias.moved"
TEST = "webhook.test"

RETRY_SECONDS = 72 * 3600.0
"""Time after which a delivery fails for good."""


def job_finished(session: Session, job: JobRow) -> None:
    """Write the events of a job that has ended: its status and, if it has one, its version. Trials have no events."""
    if job.parent_id is not None:
        return
    number = job.version.number if job.version else None
    subject = {"id": str(job.id), "kind": job.kind, "status": job.status, "model": job.model_name, "version": number}
    path = f"{JOB_TYPES[job.kind].path}/{job.id}"
    _write(session, job.project, JOB_FINISHED, subject | {"error": job.error_code, "path": path})
    if number is not None:
        path = f"/models/{job.model_name}/versions/{number}"
        data = {"model": job.model_name, "version": number, "job": str(job.id), "path": path}
        _write(session, job.project, VERSION_REGISTERED, data)


def alias_moved(session: Session, model: ModelRow, alias: str, previous: int | None, version: int | None) -> None:
    """Write the event of an alias that points to another version; without `version` it was deleted."""
    data: dict[str, Any] = {"model": model.name, "alias": alias, "previous_version": previous, "version": version}
    data["path"] = f"/models/{model.name}"
    _write(session, model.project, ALIAS_MOVED, data)


def test(session: Session, webhook: WebhookRow) -> DeliveryRow:
    """Write an event that only tests a webhook, whichever events it wants."""
    data = {"webhook": str(webhook.id), "path": f"/webhooks/{webhook.id}"}
    return _add(session, webhook, TEST, data)


def _write(session: Session, project: str, event: str, data: dict[str, Any]) -> None:
    for webhook in session.scalars(select(WebhookRow).where(WebhookRow.project == project, WebhookRow.enabled)):
        if event in webhook.events:
            _add(session, webhook, event, data)


def _add(session: Session, webhook: WebhookRow, event: str, data: dict[str, Any]) -> DeliveryRow:
    delivery = DeliveryRow(webhook_id=webhook.id, event=event, data=data, retry_until=db_now(RETRY_SECONDS))
    session.add(delivery)
    return delivery
