"""Outages of the database: routes respond with 503 and recover without a restart of the app."""

import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from app.db.session import SessionFactory, make_engine
from app.job_state import JobStatus
from app.main import create_app
from app.settings import Settings
from tests.support.api_keys import bearer, make_key
from tests.support.databases import create_postgres_database
from tests.support.factories import image_bytes, make_dataset, make_job
from tests.support.list_queue import ListQueue
from tests.support.servers import PostgresServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    server = PostgresServer(tmp_path_factory.mktemp("outages"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def url(server: PostgresServer) -> str:
    return create_postgres_database(server.url, "outage")


@pytest.fixture
def sessions(url: str) -> Iterator[sessionmaker[Session]]:
    engine = make_engine(url)
    yield SessionFactory(engine)
    engine.dispose()


@pytest.fixture
def outage_client(url: str, settings: Settings) -> Iterator[TestClient]:
    app = create_app(settings.model_copy(update={"database_url": url}), ListQueue())
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def assert_unavailable(response: Any, route: str) -> None:
    assert response.status_code == 503, (route, response.text)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "5"
    assert response.json()["code"] == "service_unavailable"


TABLE = ("patients.csv", b"age,label\n30,no\n40,yes\n50,no\n60,yes\n", "text/csv")
IMAGE = ("seven.png", image_bytes(), "image/png")
TENSOR = {"inputs": [{"name": "inputs", "datatype": "FP32", "shape": [1, 1], "data": [1.0]}]}
IDLE: dict[str, Any] = {}
JOB = {"model": "m", "source": str(UUID(int=0)), "params": {"algorithm": "fine_tune"}}
CHANGE = {"description": "of last year"}
NEEDS_THE_DATABASE: dict[str, dict[str, Any]] = {
    "POST /datasets": {"data": {"name": "patients"}, "files": {"file": TABLE}},
    "GET /datasets": IDLE,
    "GET /datasets/{dataset_id}": IDLE,
    "GET /datasets/{dataset_id}/preview": IDLE,
    "GET /datasets/{dataset_id}/rows": IDLE,
    "GET /datasets/{dataset_id}/rows/{number}": IDLE,
    "GET /datasets/{dataset_id}/usages": IDLE,
    "DELETE /datasets/{dataset_id}": IDLE,
    "POST /datasets/{dataset_id}/reinterpretations": {"json": {}},
    "POST /jobs": {"json": JOB},
    "POST /jobs/check": {"json": JOB},
    "GET /jobs": IDLE,
    "GET /jobs/{job_id}": {"params": {"wait": 5}},
    "GET /jobs/{job_id}/metrics": IDLE,
    "GET /jobs/{job_id}/logs": IDLE,
    "GET /batch-predictions/{batch_prediction_id}/logs": IDLE,
    "GET /workers": IDLE,
    "GET /jobs/{job_id}/events": IDLE,
    "POST /jobs/{job_id}/cancel": IDLE,
    "GET /models": IDLE,
    "GET /models/{name}": IDLE,
    "GET /models/{name}/versions": IDLE,
    "GET /models/{name}/versions/{number}": IDLE,
    "GET /models/{name}/versions/{number}/embedding": IDLE,
    "GET /models/{name}/versions/{number}/report": IDLE,
    "GET /models/{name}/versions/{number}/artifacts/{file}": IDLE,
    "PUT /models/{name}/aliases/{alias}": {"json": {"version": 1}},
    "DELETE /models/{name}/aliases/{alias}": IDLE,
    "POST /predict": {"json": {"model": "digits", "inputs": [[1.0]]}},
    "POST /invocations": {"params": {"model": "digits"}, "json": {"instances": [[1.0]]}},
    "POST /models/{reference}/invocations": {"json": {"instances": [[1.0]]}},
    "POST /v1/models/{name}:predict": {"json": {"instances": [[1.0]]}},
    "POST /v2/repository/index": IDLE,
    "GET /v2/health/ready": IDLE,
    "GET /v2/models/{model}": IDLE,
    "GET /v2/models/{model}/config": IDLE,
    "GET /v2/models/{model}/stats": IDLE,
    "GET /v2/models/{model}/ready": IDLE,
    "GET /v2/models/{model}/versions/{version}": IDLE,
    "GET /v2/models/{model}/versions/{version}/config": IDLE,
    "GET /v2/models/{model}/versions/{version}/stats": IDLE,
    "GET /v2/models/{model}/versions/{version}/ready": IDLE,
    "POST /v2/models/{model}/infer": {"json": TENSOR},
    "POST /v2/models/{model}/versions/{version}/infer": {"json": TENSOR},
    "POST /batch-predictions": {"json": {"model": "digits", "dataset": str(UUID(int=0))}},
    "GET /batch-predictions": IDLE,
    "GET /batch-predictions/{batch_prediction_id}": {"params": {"wait": 5}},
    "GET /batch-predictions/{batch_prediction_id}/metrics": IDLE,
    "GET /batch-predictions/{batch_prediction_id}/events": IDLE,
    "GET /batch-predictions/{batch_prediction_id}/output": IDLE,
    "POST /batch-predictions/{batch_prediction_id}/cancel": IDLE,
    "POST /models/{name}/versions/{number}/label-requests": {"json": {}},
    "GET /models/{name}/versions/{number}/evaluations": IDLE,
    "GET /label-requests": IDLE,
    "GET /label-requests/{request_id}": IDLE,
    "GET /label-requests/{request_id}/rows": IDLE,
    "GET /label-requests/{request_id}/export": IDLE,
    "PUT /label-requests/{request_id}/labels": {"json": {"labels": []}},
    "POST /label-requests/{request_id}/dataset": {"json": {"name": "labels"}},
    "POST /label-requests/{request_id}/import": {"content": b"row,label\n1,yes\n", "headers": {"content-type": "text/csv"}},
    "DELETE /label-requests/{request_id}": IDLE,
    "POST /evaluations": {"json": {"versions": ["digits"], "dataset": str(UUID(int=0))}},
    "GET /evaluations": IDLE,
    "GET /evaluations/{evaluation_id}": {"params": {"wait": 5}},
    "GET /evaluations/{evaluation_id}/metrics": IDLE,
    "GET /evaluations/{evaluation_id}/logs": IDLE,
    "GET /evaluations/{evaluation_id}/events": IDLE,
    "POST /evaluations/{evaluation_id}/cancel": IDLE,
    "PATCH /evaluations/{evaluation_id}": {"json": CHANGE},
    "DELETE /evaluations/{evaluation_id}": IDLE,
    "POST /webhooks": {"json": {"url": "https://receiver.example/hook", "events": ["job.finished"]}},
    "GET /webhooks": IDLE,
    "GET /webhooks/{webhook_id}": IDLE,
    "PATCH /webhooks/{webhook_id}": {"json": {"enabled": False}},
    "DELETE /webhooks/{webhook_id}": IDLE,
    "POST /webhooks/{webhook_id}/test": IDLE,
    "GET /webhooks/{webhook_id}/deliveries": IDLE,
    "POST /webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver": IDLE,
    "POST /keys": {"json": {"name": "ci", "scopes": ["predict"]}},
    "GET /keys": IDLE,
    "GET /keys/{key_id}": IDLE,
    "DELETE /keys/{key_id}": IDLE,
    "GET /audit": IDLE,
    "PATCH /datasets/{dataset_id}": {"json": CHANGE},
    "PATCH /jobs/{job_id}": {"json": CHANGE},
    "DELETE /jobs/{job_id}": IDLE,
    "PATCH /batch-predictions/{batch_prediction_id}": {"json": CHANGE},
    "DELETE /batch-predictions/{batch_prediction_id}": IDLE,
    "PATCH /models/{name}": {"json": CHANGE},
    "DELETE /models/{name}": IDLE,
    "PATCH /models/{name}/versions/{number}": {"json": CHANGE},
    "DELETE /models/{name}/versions/{number}": IDLE,
    "GET /storage": IDLE,
    "POST /encoders": {"data": {"name": "cells", "licence": "MIT"}, "files": {"file": TABLE}},
    "GET /encoders": IDLE,
    "GET /encoders/{encoder_id}": IDLE,
    "DELETE /encoders/{encoder_id}": IDLE,
}
PATH_PARAMETERS = {"name": "digits", "model": "digits", "number": 1, "version": 1, "alias": "production", "file": "manifest.json"}
KINDS = ("dataset", "job", "batch_prediction", "evaluation", "request", "webhook", "delivery")
PATH_PARAMETERS |= {f"{kind}_id": str(UUID(int=0)) for kind in KINDS}
PATH_PARAMETERS["reference"] = "digits"
PATH_PARAMETERS["key_id"] = "unknown"
PATH_PARAMETERS["encoder_id"] = "upload:cells"
WITHOUT_DATABASE = {"GET /algorithms", "GET /networks", "GET /health/live", "GET /health/ready", "GET /metrics"}
WITHOUT_DATABASE |= {"GET /v2", "GET /v2/health/live", "GET /ping", "GET /session", "GET /models/{reference}/ping"}
OF_THE_COOKIE = {"POST /session", "DELETE /session"}


def request_route(client: TestClient, route: str) -> Any:
    method, _, path = route.partition(" ")
    return client.request(method, path.format(**PATH_PARAMETERS), **NEEDS_THE_DATABASE.get(route, IDLE))


def test_routes_return_503_during_an_outage_and_recover(
    outage_client: TestClient, server: PostgresServer, settings: Settings
) -> None:
    documented = outage_client.get("/openapi.json").json()["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in documented.items() for method in methods} - OF_THE_COOKIE
    assert routes == set(NEEDS_THE_DATABASE) | WITHOUT_DATABASE
    before = {route: request_route(outage_client, route).status_code for route in routes - {"POST /datasets"}}
    assert set(before.values()) <= {200, 201, 404, 422}

    server.stop()
    for route in NEEDS_THE_DATABASE:
        assert_unavailable(request_route(outage_client, route), route)
    prediction = outage_client.post("/predict", data={"model": "digits"}, files=[("files", IMAGE)])
    assert_unavailable(prediction, "POST /predict with files")
    assert {request_route(outage_client, route).status_code for route in WITHOUT_DATABASE - {"GET /health/ready"}} == {200}
    ready = outage_client.get("/health/ready")
    assert (ready.status_code, ready.headers["content-type"]) == (503, "application/problem+json")
    assert {part: ready.json()[part] for part in ("database", "broker", "storage")} == {
        "database": "error",
        "broker": "ok",
        "storage": "ok",
    }
    assert [path for path in settings.data_dir.rglob("*") if path.is_file()] == []

    server.start()
    assert {route: request_route(outage_client, route).status_code for route in before} == before
    assert request_route(outage_client, "POST /datasets").status_code == 201


def test_known_keys_are_accepted_during_an_outage_and_others_get_503(
    url: str, settings: Settings, server: PostgresServer, sessions: sessionmaker[Session]
) -> None:
    known, unknown = make_key(sessions), make_key(sessions)
    protected = settings.model_copy(update={"database_url": url, "auth": "required"})
    with TestClient(create_app(protected, ListQueue()), raise_server_exceptions=False) as client:
        assert client.get("/algorithms", headers=bearer(known)).status_code == 200
        server.stop()
        assert client.get("/algorithms", headers=bearer(known)).status_code == 200
        assert_unavailable(client.get("/algorithms", headers=bearer(unknown)), "unknown key")
        server.start()
        assert client.get("/algorithms", headers=bearer(unknown)).status_code == 200


def test_jobs_are_unchanged_after_an_outage(
    outage_client: TestClient, server: PostgresServer, sessions: sessionmaker[Session]
) -> None:
    with sessions.begin() as session:
        job_id, source = make_job(session).id, make_dataset(session).id
    body = {"model": "digits", "source": str(source), "params": {"algorithm": "fine_tune"}}
    server.stop()
    assert_unavailable(outage_client.post("/jobs", json=body), "submit")
    assert_unavailable(outage_client.post(f"/jobs/{job_id}/cancel"), "cancel")
    server.start()
    assert [job["id"] for job in outage_client.get("/jobs").json()["data"]] == [str(job_id)]
    assert outage_client.get(f"/jobs/{job_id}").json()["status"] == "queued"
    assert outage_client.post("/jobs", json=body).status_code == 202
    assert outage_client.post(f"/jobs/{job_id}/cancel").json()["status"] == "cancelled"


def test_waiting_requests_end_when_an_outage_begins(
    outage_client: TestClient, server: PostgresServer, sessions: sessionmaker[Session]
) -> None:
    with sessions.begin() as session:
        job_id = make_job(session, status=JobStatus.RUNNING).id
    responses: dict[str, Any] = {}

    def wait_at(path: str) -> None:
        responses[path] = outage_client.get(f"/jobs/{job_id}{path}")

    threads = [threading.Thread(target=wait_at, args=(path,)) for path in ("?wait=60", "/events")]
    for thread in threads:
        thread.start()
    wait_for_waiters(outage_client, len(threads))
    server.stop()
    for thread in threads:
        thread.join(timeout=20)
    assert_unavailable(responses["?wait=60"], "wait")
    assert (responses["/events"].status_code, responses["/events"].text) == (200, "")

    server.start()
    assert outage_client.get(f"/jobs/{UUID(int=0)}").status_code == 404


def wait_for_waiters(client: TestClient, count: int) -> None:
    watcher = client.app.state.watcher  # type: ignore[attr-defined]
    deadline = time.monotonic() + 10
    while len(watcher._waiters) < count:  # noqa: SLF001  # waiting has no public sign
        assert time.monotonic() < deadline
        time.sleep(0.01)
