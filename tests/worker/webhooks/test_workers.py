"""Real workers send webhooks, with each broker, while they run jobs and after one of them was killed."""

from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session, sessionmaker

from app.db.session import db_now
from app.db.webhook_tables import DeliveryRow
from app.services import webhooks
from app.settings import Settings
from tests.support import servers
from tests.support.polling import wait_until
from tests.support.quick_settings import quick_settings
from tests.support.supervision import add_job, is_training, send_messages
from tests.support.webhook_receiver import SECRET, receiver
from tests.support.worker_pool import running_workers

Sessions = sessionmaker[Session]


@pytest.fixture(params=["redis", "filesystem"])
def settings(request: pytest.FixtureRequest, worker_settings: Settings) -> Settings:
    fields: dict[str, object] = {"data_dir": worker_settings.data_dir, "webhook_private_addresses": True}
    if request.param == "redis":
        server: servers.RedisServer = request.getfixturevalue("redis_server")
        fields["broker_url"] = server.url
    return quick_settings(**fields)


def test_worker_sends_the_end_of_its_job_and_other_events_while_it_runs(
    settings: Settings, worker_sessions: Sessions, tmp_path: Path
) -> None:
    with receiver() as received, running_workers(settings, tmp_path, workers=1):
        with worker_sessions.begin() as session:
            webhook = webhooks.create(session, received.url, ["job.finished"], SECRET, private_addresses=True)
        job_id = add_job(worker_sessions, steps=100, step_seconds=0.05)
        send_messages(settings, job_id)
        wait_until(is_training(worker_sessions, job_id, checkpoint=False), what="a running job")
        with worker_sessions.begin() as session:
            webhooks.test(session, webhook.id)
        wait_until(lambda: len(received.events) == 2, what="both events")
    assert [event["type"] for event in received.events] == ["webhook.test", "job.finished"]
    assert received.events[1]["data"]["id"] == str(job_id)


def test_delivery_of_a_killed_worker_is_sent_again(settings: Settings, worker_sessions: Sessions, tmp_path: Path) -> None:
    with receiver(0) as received, running_workers(settings, tmp_path, workers=1) as (worker,):
        with worker_sessions.begin() as session:
            webhook = webhooks.create(session, received.url, ["job.finished"], SECRET, private_addresses=True)
            delivery_id = webhooks.test(session, webhook.id).id
        wait_until(lambda: received.ids == [str(delivery_id)], what="the first attempt")
        worker.end()
        with worker_sessions.begin() as session:
            assert session.get_one(DeliveryRow, delivery_id).status == "pending"
            session.execute(update(DeliveryRow).values(lease_expires_at=db_now(-1)))
        worker.restart_if_dead()
        wait_until(lambda: len(received.ids) == 2, what="the second attempt")

        def is_delivered() -> bool:
            with worker_sessions() as session:
                return session.get_one(DeliveryRow, delivery_id).status == "delivered"

        wait_until(is_delivered, what="the end of the delivery")
    assert received.ids == [str(delivery_id)] * 2
