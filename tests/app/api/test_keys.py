"""Keys: created, used, narrowed, revoked and audited over HTTP."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker
from structlog.testing import capture_logs

from app.auth import keys
from app.auth.grants import Grants
from app.auth.keys import KeyRights
from app.db.tables import ApiKeyRow
from app.errors import KeyRevoked
from app.main import create_app
from app.settings import Settings
from tests.support.api_keys import bearer, id_of, make_key, status_of
from tests.support.factories import make_dataset, make_job, make_version
from tests.support.list_queue import ListQueue

Sessions = sessionmaker[Session]


@pytest.fixture
def protected(settings: Settings, sessions: Sessions, queue: ListQueue) -> Iterator[TestClient]:
    """Serve an app that requires keys."""
    app = create_app(settings, queue, host="0.0.0.0")
    app.state.engine.dispose()
    app.state.sessions = sessions
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def grants_of(client: TestClient) -> Grants:
    grants: Grants = client.app.state.grants  # type: ignore[attr-defined]
    return grants


def actions(client: TestClient, key: str) -> list[tuple[str, str]]:
    """Return action and outcome of the newest audit entries, oldest first."""
    answer = client.get("/audit", params={"limit": 100}, headers=bearer(key))
    assert answer.status_code == 200, answer.text
    return [(entry["action"], entry["outcome"]) for entry in reversed(answer.json()["data"])]


def test_request_without_a_valid_key_is_refused_with_the_way_to_send_one(protected: TestClient, sessions: Sessions) -> None:
    expired = make_key(sessions, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    valid = make_key(sessions)
    wrong = valid[:-1] + ("a" if valid[-1] != "a" else "b")
    for headers in ({}, bearer(expired), bearer(wrong), bearer("nonsense"), bearer(""), {"Authorization": f"Basic {valid}"}):
        answer = protected.get("/datasets", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["code"] == "unauthenticated"
    assert status_of(protected, valid) == 200
    assert protected.get("/datasets", params={"key": valid}).status_code == 401


def test_open_routes_need_no_key(protected: TestClient) -> None:
    for path in ("/health/live", "/v2/health/live", "/v2", "/openapi.json", "/docs"):
        assert protected.get(path).status_code == 200


def test_missing_scope_is_named(protected: TestClient, sessions: Sessions) -> None:
    answer = protected.get("/metrics", headers=bearer(make_key(sessions, "predict", "models:read")))
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "`metrics`" in answer.json()["detail"]
    pretrained = {"model": "m", "base": {"pretrained": "org/encoder"}, "params": {"algorithm": "fine_tune"}}
    answer = protected.post("/jobs", json=pretrained, headers=bearer(make_key(sessions, "jobs:write")))
    assert answer.status_code == 403
    assert "`pretrained`" in answer.json()["detail"]


def test_key_is_created_shown_once_and_revoked(protected: TestClient, sessions: Sessions) -> None:
    admin = bearer(make_key(sessions, "admin"))
    body = {"name": "reader", "scopes": ["datasets:read"], "project": "birds", "models": ["digits*"]}
    created = protected.post("/keys", json=body, headers=admin)
    assert created.status_code == 201
    key = created.json()["key"]
    assert created.json()["project"] == "birds"
    assert created.headers["cache-control"] == "no-store"
    listed = protected.get("/keys", headers=admin)
    assert [row["name"] for row in listed.json()["data"]] == ["reader", "test"]
    assert key not in listed.text
    assert status_of(protected, key) == 200

    assert protected.delete(f"/keys/{id_of(key)}", headers=admin).json()["revoked_at"] is not None
    grants_of(protected).refresh()
    assert status_of(protected, key) == 401
    assert protected.delete("/keys/unknown", headers=admin).status_code == 404
    with sessions() as session:
        stored = session.scalars(select(ApiKeyRow).where(ApiKeyRow.id == id_of(key))).one()
    assert len(stored.digest) == 64
    assert stored.digest not in key


def test_only_admins_manage_keys(protected: TestClient, sessions: Sessions) -> None:
    everything_else = bearer(make_key(sessions))
    assert protected.get("/keys", headers=everything_else).status_code == 403
    assert protected.get("/audit", headers=everything_else).status_code == 403


def test_invalid_rights_are_named(protected: TestClient, sessions: Sessions) -> None:
    admin = bearer(make_key(sessions, "admin"))
    changes: list[dict[str, object]] = [
        {"scopes": ["everything"]},
        {"scopes": []},
        {"project": "a/b"},
        {"models": ["a b"]},
        {"name": ""},
    ]
    for change in changes:
        body = {"name": "reader", "scopes": ["predict"], **change}
        answer = protected.post("/keys", json=body, headers=admin)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), change


def test_keys_and_audit_entries_are_paged(protected: TestClient, sessions: Sessions) -> None:
    admin = bearer(make_key(sessions, "admin"))
    for number in range(4):
        protected.post("/keys", json={"name": f"key-{number}", "scopes": ["predict"]}, headers=admin)
    for path, field in (("/keys", "name"), ("/audit", "object")):
        seen: list[str] = []
        after: str | None = ""
        while after is not None:
            page = protected.get(path, params={"limit": 2, **({"after": after} if after else {})}, headers=admin).json()
            seen += [row[field] for row in page["data"]]
            after = page["next"]
        assert len(seen) == len(set(seen)) >= 4


def test_expired_key_ends_without_a_query(protected: TestClient, sessions: Sessions) -> None:
    key = make_key(sessions, expires_at=datetime.now(UTC) + timedelta(hours=1))
    assert status_of(protected, key) == 200
    grant = grants_of(protected).get(f"Bearer {key}".encode())
    assert grant is not None
    grant.expires_at = 0.0
    grants_of(protected).tick()
    assert not grant.is_valid
    assert grants_of(protected).get(f"Bearer {key}".encode()) is None


def test_grant_that_is_no_longer_kept_ends(protected: TestClient, sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    grants = grants_of(protected)
    first, second = (f"Bearer {make_key(sessions)}".encode() for _ in range(2))
    replaced = grants.check(first)
    dropped = grants.check(first)
    assert [replaced.is_valid, dropped.is_valid] == [False, True]
    monkeypatch.setattr("app.auth.grants.MAX_CACHED", 1)
    newest = grants.check(second)
    assert [dropped.is_valid, newest.is_valid] == [False, True]
    assert (grants.get(first), grants.get(second)) == (None, newest)


def test_revoked_admin_key_stays_revoked_until_its_secret_changes(sessions: Sessions) -> None:
    secrets = ["0f" * 20, "1f" * 20]
    with sessions.begin() as session:
        keys.store_admin_key(session, secrets[0])
        assert keys.find(session, secrets[0]) is not None
        keys.revoke(session, "admin")
        with capture_logs() as lines:
            keys.store_admin_key(session, secrets[0])
        assert [line["event"] for line in lines] == ["keys.admin_key_is_revoked"]
        assert keys.find(session, secrets[0]) is None
        keys.store_admin_key(session, secrets[1])
        assert keys.find(session, secrets[1]) is not None


def test_revoked_key_is_not_rotated(session: Session) -> None:
    row, _ = keys.create(session, KeyRights("ci", ["predict"]))
    keys.revoke(session, row.id)
    with pytest.raises(KeyRevoked, match="was revoked"):
        keys.rotate(session, row.id)
    assert len(keys.page(session, 10)) == 1


def test_last_use_is_written(protected: TestClient, sessions: Sessions) -> None:
    key = make_key(sessions)
    assert status_of(protected, key) == 200
    grants_of(protected).write_uses()
    with sessions() as session:
        assert keys.get(session, id_of(key)).last_used_at is not None


def test_patterns_narrow_models(protected: TestClient, sessions: Sessions) -> None:
    with sessions.begin() as session:
        for model in ("digits", "digits-2", "letters"):
            make_version(session, model=model)
        job_id = make_job(session, model_name="letters").id
    key = bearer(make_key(sessions, models=["digits*"]))
    listed = protected.get("/models", headers=key).json()["data"]
    assert sorted(model["name"] for model in listed) == ["digits", "digits-2"]
    index = protected.post("/v2/repository/index", headers=key).json()
    assert sorted(entry["name"] for entry in index) == ["digits", "digits-2"]
    assert protected.get("/models/digits-2/versions/1", headers=key).status_code == 200
    job = {"model": "letters", "params": {"algorithm": "fine_tune"}}
    for method, path, body in (
        ("GET", "/models/letters", None),
        ("GET", "/models/letters/versions/1/artifacts/model.onnx", None),
        ("PUT", "/models/letters/aliases/production", {"version": 1}),
        ("POST", "/jobs", job),
        ("POST", "/predict", {"model": "letters:1", "inputs": [1]}),
        ("GET", "/v2/models/letters@production", None),
        ("PATCH", "/models/digits", {"name": "numbers"}),
        ("PATCH", f"/jobs/{job_id}", {"description": "mine"}),
        ("POST", f"/jobs/{job_id}/cancel", None),
        ("DELETE", f"/jobs/{job_id}", None),
    ):
        answer = protected.request(method, path, json=body, headers=key)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path


def test_equal_names_keys_and_files_of_projects_do_not_meet(protected: TestClient, sessions: Sessions) -> None:
    with sessions.begin() as session:
        theirs = make_dataset(session, project="birds", name="theirs", fingerprint="f" * 64)
        ours = make_dataset(session, name="ours", fingerprint="f" * 64)
        make_version(session, model="digits")
    birds, default = bearer(make_key(sessions, project="birds")), bearer(make_key(sessions))
    assert [row["name"] for row in protected.get("/datasets", headers=birds).json()["data"]] == ["theirs"]
    assert [row["name"] for row in protected.get("/datasets", headers=default).json()["data"]] == ["ours"]
    assert protected.get(f"/datasets/{theirs.id}", headers=default).status_code == 404
    assert protected.delete(f"/datasets/{ours.id}", headers=birds).status_code == 404
    assert protected.get("/models/digits", headers=birds).status_code == 404
    for headers, dataset in ((birds, theirs), (default, ours)):
        body = {"model": "people", "source": str(dataset.id), "params": {"algorithm": "fine_tune"}}
        answer = protected.post("/jobs", json=body, headers={**headers, "Idempotency-Key": "one"})
        assert answer.status_code == 202, answer.text
        jobs = protected.get("/jobs", params={"model": "people"}, headers=headers).json()["data"]
        assert [job["id"] for job in jobs] == [answer.json()["id"]]


def test_changes_downloads_and_refusals_are_audited(protected: TestClient, sessions: Sessions) -> None:
    admin, key = make_key(sessions, "admin"), make_key(sessions)
    with sessions.begin() as session:
        dataset = make_dataset(session)
        make_version(session, model="digits", artifacts=["model.onnx"])
    job = {"model": "people", "source": str(dataset.id), "params": {"algorithm": "fine_tune"}}
    job_id = protected.post("/jobs", json=job, headers=bearer(key)).json()["id"]
    protected.post(f"/jobs/{job_id}/cancel", headers=bearer(key))
    protected.put("/models/digits/aliases/production", json={"version": 1}, headers=bearer(key))
    protected.put("/models/digits/aliases/production", json={"version": 2}, headers=bearer(key))
    protected.delete("/models/digits/aliases/production", headers=bearer(key))
    protected.get("/models/digits/versions/1/artifacts/model.onnx", headers=bearer(key))
    protected.delete(f"/datasets/{dataset.id}", headers=bearer(key))
    protected.get("/keys", headers=bearer(key))
    narrow = bearer(make_key(sessions, models=["letters*"]))
    protected.post("/predict", json={"model": "digits", "inputs": [1]}, headers=narrow)
    protected.get("/datasets")
    changes = ["adaptation.submit", "adaptation.cancel", "alias.set", "alias.delete", "artifact.download", "dataset.delete"]
    expected = [(action, "succeeded") for action in changes]
    refused = [("refuse.forbidden", "refused")] * 2 + [("refuse.unauthenticated", "refused")]
    assert actions(protected, admin) == [*expected, *refused]
    entry = protected.get("/audit", params={"limit": 1}, headers=bearer(admin)).json()["data"][0]
    assert (entry["key_id"], entry["object"], entry["address"]) == ("", "GET /datasets", "testclient")


def test_refusals_of_an_address_are_limited(protected: TestClient, sessions: Sessions) -> None:
    for number in range(30):
        assert protected.get(f"/datasets/%00%F0{number}{'x' * 900}").status_code == 401
    assert actions(protected, make_key(sessions, "admin")) == [("refuse.unauthenticated", "refused")] * 10


def test_local_callers_need_no_key(client: TestClient) -> None:
    assert client.get("/keys").status_code == 200
    assert client.get("/datasets", headers=bearer("nonsense")).status_code == 200
