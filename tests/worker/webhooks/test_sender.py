"""Senders deliver, retry and give up, on both databases, to a real receiver."""

from collections.abc import Callable
from uuid import UUID

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session, sessionmaker

from app.db.session import db_now
from app.db.webhook_tables import DeliveryRow, WebhookRow
from app.services import webhook_deliveries, webhooks
from app.services.webhook_deliveries import Outcome, delay_seconds
from tests.support.servers import free_port
from tests.support.webhook_receiver import SECRET, receiver
from worker.webhooks.sender import WebhookSender

Sessions = sessionmaker[Session]


def add(sessions: Sessions, url: str, count: int = 1) -> list[UUID]:
    """Add a webhook with pending deliveries and return their ids."""
    with sessions.begin() as session:
        webhook = webhooks.create(session, url, ["job.finished"], SECRET, private_addresses=True)
        return [webhooks.test(session, webhook.id).id for _ in range(count)]


def read(sessions: Sessions, delivery_id: UUID) -> DeliveryRow:
    with sessions() as session:
        return session.get_one(DeliveryRow, delivery_id)


def webhook_of(sessions: Sessions, delivery_id: UUID) -> WebhookRow:
    with sessions() as session:
        return session.get_one(WebhookRow, session.get_one(DeliveryRow, delivery_id).webhook_id)


def change(sessions: Sessions, **values: object) -> None:
    with sessions.begin() as session:
        session.execute(update(DeliveryRow).values(values))


@pytest.fixture
def sender(sessions: Sessions) -> WebhookSender:
    return WebhookSender(lambda: sessions, private_addresses=True)


def test_failed_attempt_is_repeated_until_the_receiver_accepts(sessions: Sessions, sender: WebhookSender) -> None:
    with receiver(500, 302) as received:
        (delivery_id,) = add(sessions, received.url)
        for status in (500, 302):
            assert sender.send_next()
            assert not sender.send_next()  # the next attempt is not due
            failed = read(sessions, delivery_id)
            assert (failed.status, failed.response_status, failed.lease_owner) == ("pending", status, None)
            assert str(status) in (failed.error or "")
            assert webhook_of(sessions, delivery_id).failing_since is not None
            change(sessions, next_attempt_at=db_now())
        assert sender.send_next()
    delivered = read(sessions, delivery_id)
    assert (delivered.status, delivered.attempts, delivered.response_status, delivered.error) == ("delivered", 3, 204, None)
    assert webhook_of(sessions, delivery_id).failing_since is None
    assert received.ids == [str(delivery_id)] * 3
    assert received.paths == ["/hook"] * 3  # redirects are not followed
    assert received.events[0] == received.events[2]
    assert received.events[0]["type"] == "webhook.test"
    assert received.events[0].keys() == {"type", "timestamp", "data"}


def test_unreachable_receiver_is_reported_and_retried(sessions: Sessions, sender: WebhookSender) -> None:
    (delivery_id,) = add(sessions, f"http://127.0.0.1:{free_port()}/")
    assert sender.send_next()
    delivery = read(sessions, delivery_id)
    assert (delivery.status, delivery.response_status) == ("pending", None)
    assert "ConnectError" in (delivery.error or "")


def test_delivery_fails_for_good_after_its_time(sessions: Sessions, sender: WebhookSender) -> None:
    with receiver(503) as received:
        (delivery_id,) = add(sessions, received.url)
        change(sessions, retry_until=db_now(1))
        assert sender.send_next()
    delivery = read(sessions, delivery_id)
    assert delivery.status == "failed"
    assert delivery.finished_at is not None


def test_private_address_is_refused_unless_the_setting_allows_it(sessions: Sessions) -> None:
    with receiver() as received:
        (delivery_id,) = add(sessions, received.url)
        assert WebhookSender(lambda: sessions, private_addresses=False).send_next()
    assert received.events == []
    assert "ISTHMUS_WEBHOOK_PRIVATE_ADDRESSES" in (read(sessions, delivery_id).error or "")


def test_claimed_delivery_is_sent_by_no_other_until_its_lease_expires(sessions: Sessions, sender: WebhookSender) -> None:
    with receiver() as received:
        (delivery_id,) = add(sessions, received.url)
        with sessions.begin() as session:
            lost = webhook_deliveries.claim(session)
        assert lost is not None
        assert not sender.send_next()
        change(sessions, lease_expires_at=db_now(-1))
        assert sender.send_next()
        assert received.ids == [str(delivery_id)]
    with sessions.begin() as session:
        assert not webhook_deliveries.record(session, lost, Outcome(500, "late"))
    assert (read(sessions, delivery_id).status, read(sessions, delivery_id).attempts) == ("delivered", 2)


def test_webhook_gets_one_delivery_at_a_time_and_does_not_hold_up_others(sessions: Sessions) -> None:
    first = add(sessions, "https://example.org/", count=2)
    (other,) = add(sessions, "https://example.com/")

    def claim() -> UUID | None:
        with sessions.begin() as session:
            delivery = webhook_deliveries.claim(session)
            return delivery.id if delivery else None

    assert {claim(), claim()} == {min(first, key=lambda id: (created(sessions)(id), id)), other}
    assert claim() is None


def created(sessions: Sessions) -> Callable[[UUID], object]:
    return lambda delivery_id: read(sessions, delivery_id).next_attempt_at


def test_disabled_webhook_gets_nothing(sessions: Sessions, sender: WebhookSender) -> None:
    (delivery_id,) = add(sessions, "https://example.org/")
    with sessions.begin() as session:
        session.execute(update(WebhookRow).values(enabled=False))
    assert not sender.send_next()
    assert read(sessions, delivery_id).attempts == 0


def test_delays_grow_to_eight_hours_and_vary() -> None:
    means = [5 * 3**number for number in range(8)] + [8 * 3600]
    for attempts, mean in enumerate(means, start=1):
        delays = {delay_seconds(attempts) for _ in range(20)}
        assert len(delays) > 1
        assert all(0.8 * mean <= delay <= 1.2 * mean for delay in delays)
    assert delay_seconds(1000) <= 1.2 * 8 * 3600
