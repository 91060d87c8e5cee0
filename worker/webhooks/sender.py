"""The senders of webhooks: threads in each worker that send due deliveries, also while a job runs. Imports no torch.

Context: a worker runs one job at a time, often for hours, so a Celery task would wait behind it. Decision: threads in the process
of the supervisor ask the database for due deliveries every two seconds. They need no message, so deliveries survive the loss of
the broker. Alternatives: a queue with workers of its own (one more process to run and watch); beat (a slow receiver would delay
the sweep).
"""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event, Thread

import orjson
import structlog
from sqlalchemy.orm import Session, sessionmaker
from standardwebhooks import Webhook

from app.db.outages import OUTAGE_ERRORS, tolerate_outage
from app.db.webhook_tables import DeliveryRow
from app.services import webhook_deliveries
from app.services.webhook_deliveries import Outcome
from worker.webhooks import http_client

log = structlog.get_logger()

THREADS = 4
POLL_SECONDS = 2.0


class WebhookSender:
    """Sends due deliveries, one at a time."""

    def __init__(self, sessions: Callable[[], sessionmaker[Session]], private_addresses: bool) -> None:
        self._sessions = sessions
        self._private_addresses = private_addresses
        self._stopped = Event()

    def start(self) -> None:
        """Run in threads of this process until it ends. Expired leases show what a killed process has not sent."""
        for number in range(THREADS):
            Thread(target=self._run, name=f"webhooks-{number}", daemon=True).start()

    def send_next(self) -> bool:
        """Send the delivery that is due for longest; return False if there is none."""
        with self._sessions().begin() as session:
            delivery = webhook_deliveries.claim(session)
        if delivery is None:
            return False
        outcome = self._attempt(delivery)
        with self._sessions().begin() as session:
            webhook_deliveries.record(session, delivery, outcome)
        _log(delivery, outcome)
        return True

    def _run(self) -> None:
        while not self._stopped.wait(POLL_SECONDS * random.uniform(0.75, 1.25)):
            try:
                while self.send_next():
                    pass
            except OUTAGE_ERRORS as error:
                tolerate_outage(error)
            except Exception:  # the thread must outlive an error of one delivery; its lease expires
                log.exception("webhook.sender_failed")

    def _attempt(self, delivery: DeliveryRow) -> Outcome:
        body = payload(delivery)
        try:
            status = http_client.post(delivery.webhook.url, body, _headers(delivery, body), self._private_addresses)
        except http_client.REQUEST_ERRORS as error:
            return Outcome(None, f"{type(error).__name__}: {error}")
        return Outcome(status, None if 200 <= status < 300 else f"The receiver responded with the status {status}.")


def payload(delivery: DeliveryRow) -> bytes:
    """Return the body, which is the same in every attempt."""
    return orjson.dumps({"type": delivery.event, "timestamp": delivery.created_at, "data": delivery.data})


def _headers(delivery: DeliveryRow, body: bytes) -> http_client.Headers:
    message_id, now = str(delivery.id), datetime.now(UTC)
    return {
        "content-type": "application/json",
        "user-agent": "Isthmus",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(delivery.webhook.secret).sign(message_id, now, body.decode()),
    }


def _log(delivery: DeliveryRow, outcome: Outcome) -> None:
    fields = {"delivery_id": str(delivery.id), "webhook_id": str(delivery.webhook_id), "attempt": delivery.attempts}
    if outcome.error is None:
        log.info("webhook.delivered", status=outcome.response_status, **fields)
    else:
        log.warning("webhook.not_delivered", error=outcome.error, **fields)
