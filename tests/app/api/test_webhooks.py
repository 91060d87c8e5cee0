"""Webhooks and their deliveries for callers, on both databases."""

import base64
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from app.db.session import db_now
from app.db.tables import JobRow
from app.db.webhook_tables import DeliveryRow, WebhookRow
from app.job_state import JobStatus
from app.schemas.webhooks import Event
from app.services import leases, models, webhook_deliveries, webhooks
from tests.support.factories import lease_of, make_job, make_result, make_version
from tests.support.webhook_receiver import SECRET

Sessions = sessionmaker[Session]
URL = "https://example.org/hook"
ALL: list[Event] = ["job.finished", "version.registered", "alias.moved"]


def create(client: TestClient, **fields: Any) -> dict[str, Any]:
    answer = client.post("/webhooks", json={"url": URL, "events": ALL, **fields})
    assert answer.status_code == 201, answer.text
    webhook: dict[str, Any] = answer.json()
    return webhook


def data_of(client: TestClient, webhook: dict[str, Any]) -> list[dict[str, Any]]:
    return [delivery["data"] for delivery in deliveries(client, webhook)]


def deliveries(client: TestClient, webhook: dict[str, Any]) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = client.get(f"/webhooks/{webhook['id']}/deliveries").json()["data"]
    return data


def test_secret_is_generated_and_shown_once(client: TestClient) -> None:
    webhook = create(client)
    assert len(base64.b64decode(webhook["secret"].removeprefix("whsec_"))) == 32
    shown = client.get(f"/webhooks/{webhook['id']}").json()
    assert shown == {key: value for key, value in webhook.items() if key != "secret"}
    assert shown["state"] == "ok"
    assert client.get("/webhooks").json()["data"] == [shown]


def test_given_secret_is_used(client: TestClient, session: Session) -> None:
    create(client, secret=SECRET)
    assert session.scalars(select(WebhookRow.secret)).one() == SECRET


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"url": "ftp://example.org"}, "/url"),
        ({"url": "https://user:password@example.org"}, "/url"),
        ({"url": "http://127.0.0.1:9/"}, "/url"),
        ({"url": "http://2130706433/"}, "/url"),
        ({"url": "http://localhost/"}, "/url"),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "/url"),
        ({"url": "http://169.254.169.254/latest/meta-data"}, "/url"),
        ({"events": []}, "/events"),
        ({"events": ["job.started"]}, "/events/0"),
        ({"secret": "whsec_c2hvcnQ="}, "/secret"),
        ({"secret": "whsec_" + "A" * 33}, "/secret"),
        ({"color": "red"}, "/color"),
    ],
)
def test_invalid_webhook_is_rejected_with_its_field(client: TestClient, fields: dict[str, Any], pointer: str) -> None:
    answer = client.post("/webhooks", json={"url": URL, "events": ALL, **fields})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_number_of_webhooks_is_limited(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MAX_WEBHOOKS", 1)
    create(client)
    assert client.post("/webhooks", json={"url": URL, "events": ALL}).status_code == 422


def test_fields_of_a_webhook_can_be_changed(client: TestClient) -> None:
    webhook = create(client)
    path = f"/webhooks/{webhook['id']}"
    changed = client.patch(path, json={"url": "https://example.com", "events": ["alias.moved"], "enabled": False}).json()
    assert (changed["url"], changed["events"], changed["state"]) == ("https://example.com/", ["alias.moved"], "disabled")
    assert client.patch(path, json={"enabled": None}).status_code == 422
    assert client.patch(path, json={"url": "http://10.0.0.1"}).status_code == 422
    assert client.get(path).json() == changed


def test_deletion_removes_the_deliveries_too(client: TestClient, session: Session) -> None:
    webhook = create(client)
    assert client.post(f"/webhooks/{webhook['id']}/test").status_code == 202
    assert client.delete(f"/webhooks/{webhook['id']}").status_code == 204
    assert client.get(f"/webhooks/{webhook['id']}").status_code == 404
    assert session.scalar(select(func.count()).select_from(DeliveryRow)) == 0


def test_unknown_ids_are_not_found(client: TestClient) -> None:
    path = f"/webhooks/{uuid4()}"
    for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/deliveries"), ("POST", "/test")):
        assert client.request(method, path + tail).json()["code"] == "webhook_not_found"
    path = f"/webhooks/{create(client)['id']}/deliveries/{uuid4()}/redeliver"
    assert client.post(path).json()["code"] == "delivery_not_found"


def test_webhooks_of_another_project_are_hidden_and_get_no_events(client: TestClient, session: Session) -> None:
    other = WebhookRow(project="other", url=URL, events=list(ALL), secret="whsec_c2VjcmV0")
    session.add(other)
    make_version(session)
    models.set_alias(session, "digits", "production", 1)
    session.commit()
    assert client.get("/webhooks").json()["data"] == []
    for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/deliveries"), ("POST", "/test")):
        assert client.request(method, f"/webhooks/{other.id}{tail}").status_code == 404
    assert session.scalar(select(func.count()).select_from(DeliveryRow)) == 0


def test_finished_job_and_its_version_are_events(client: TestClient, session: Session) -> None:
    webhook = create(client)
    job = make_job(session, status=JobStatus.RUNNING)
    leases.finish(session, lease_of(job), make_result())
    session.commit()
    events = {delivery["event"]: delivery["data"] for delivery in deliveries(client, webhook)}
    path = "/models/digits/versions/1"
    assert events["version.registered"] == {"model": "digits", "version": 1, "job": str(job.id), "path": path}
    assert events["job.finished"] == {
        "id": str(job.id),
        "kind": "adaptation",
        "status": "succeeded",
        "model": "digits",
        "version": 1,
        "error": None,
        "path": f"/jobs/{job.id}",
    }


def test_failed_and_cancelled_jobs_are_events_and_trials_are_not(client: TestClient, session: Session) -> None:
    webhook = create(client, events=["job.finished"])
    failed = make_job(session, status=JobStatus.RUNNING)
    leases.fail(session, lease_of(failed), "bad_parameters", "A reason.")
    queued = make_job(session)
    trial = make_job(session, kind="trial", parent_id=queued.id, trial="1-0-mcc", status=JobStatus.RUNNING)
    leases.fail(session, lease_of(trial), "bad_parameters", "A reason.")
    session.commit()
    assert client.post(f"/jobs/{queued.id}/cancel").status_code == 200
    found = {(data["id"], data["status"], data["error"]) for data in data_of(client, webhook)}
    assert found == {(str(failed.id), "failed", "bad_parameters"), (str(queued.id), "cancelled", None)}


def test_moved_alias_is_an_event_and_an_unchanged_one_is_not(client: TestClient, session: Session) -> None:
    webhook = create(client)
    make_version(session), make_version(session)
    session.commit()
    path = "/models/digits/aliases/production"
    for version in (1, 1, 2):
        assert client.put(path, json={"version": version}).status_code == 200
    assert client.delete(path).status_code == 204
    moves = [(data["previous_version"], data["version"]) for data in reversed(data_of(client, webhook))]
    assert moves == [(None, 1), (1, 2), (2, None)]


def test_events_go_to_the_enabled_webhooks_that_want_them(client: TestClient, session: Session) -> None:
    wanted, other, disabled = create(client), create(client, events=["job.finished"]), create(client)
    client.patch(f"/webhooks/{disabled['id']}", json={"enabled": False})
    make_version(session)
    models.set_alias(session, "digits", "production", 1)
    session.commit()
    assert [len(deliveries(client, webhook)) for webhook in (wanted, other, disabled)] == [1, 0, 0]


def test_rolled_back_change_writes_no_event(client: TestClient, sessions: Sessions) -> None:
    webhook = create(client)
    with sessions() as session:
        make_version(session)
        models.set_alias(session, "digits", "production", 1)
        session.rollback()
    assert deliveries(client, webhook) == []


def test_deliveries_are_paged_newest_first(client: TestClient) -> None:
    path = f"/webhooks/{create(client)['id']}"
    ids = [client.post(f"{path}/test").json()["id"] for _ in range(3)]
    first = client.get(f"{path}/deliveries", params={"limit": 2}).json()
    second = client.get(f"{path}/deliveries", params={"limit": 2, "after": first["next"]}).json()
    assert [item["id"] for item in first["data"] + second["data"]] == ids[::-1]
    assert second["next"] is None


def test_ended_delivery_can_be_sent_again(client: TestClient, session: Session) -> None:
    webhook = create(client)
    delivery_id = client.post(f"/webhooks/{webhook['id']}/test").json()["id"]
    claimed = webhook_deliveries.claim(session)
    assert claimed is not None
    webhook_deliveries.record(session, claimed, webhook_deliveries.Outcome(204, None))
    session.commit()
    (ended,) = deliveries(client, webhook)
    assert (ended["status"], ended["attempts"], ended["next_attempt_at"]) == ("delivered", 1, None)
    again = client.post(f"/webhooks/{webhook['id']}/deliveries/{delivery_id}/redeliver")
    assert again.status_code == 202
    assert (again.json()["id"], again.json()["status"], again.json()["attempts"]) == (delivery_id, "pending", 0)
    assert again.json()["next_attempt_at"]
    session.expire_all()
    assert webhook_deliveries.claim(session) is not None


def test_old_deliveries_are_deleted_and_pending_ones_kept(session: Session) -> None:
    webhook = webhooks.create(session, URL, list(ALL), None, private_addresses=False)
    old, new, pending = (webhooks.test(session, webhook.id) for _ in range(3))
    for delivery, age in ((old, 31), (new, 29)):
        delivery.status, delivery.finished_at = "delivered", db_now(-age * 86400)
    session.flush()
    webhook_deliveries.delete_old(session, 30)
    assert set(session.scalars(select(DeliveryRow.id))) == {new.id, pending.id}


def test_sweep_of_a_lost_worker_is_an_event(client: TestClient, session: Session) -> None:
    webhook = create(client)
    job = make_job(session, status=JobStatus.RUNNING, max_attempts=1, lease_expires_at=db_now(-1))
    leases.requeue_expired(session)
    session.commit()
    assert session.get_one(JobRow, job.id).status is JobStatus.FAILED
    assert [data["error"] for data in data_of(client, webhook)] == ["worker_lost"]


def test_url_that_grows_in_its_normal_form_is_rejected(client: TestClient) -> None:
    answer = client.post("/webhooks", json={"url": "https://" + "a" * 2075, "events": ["job.finished"]})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/url")
