"""The default body limit, the headers of every response, and what is logged and answered for odd requests."""

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from app.api.middleware import MAX_BODY_BYTES, MAX_LOGGED_PATH, BodySizeLimit, own_body_limit
from app.main import create_app
from app.settings import Settings
from tests.support.list_queue import ListQueue


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()
    app.add_middleware(BodySizeLimit)

    @app.post("/limited")
    async def limited(request: Request) -> int:
        return len(await request.body())

    @app.post("/unlimited")
    @own_body_limit
    async def unlimited(request: Request) -> int:
        return len(await request.body())

    return TestClient(app)


@pytest.fixture
def service(settings: Settings) -> TestClient:
    return TestClient(create_app(settings, ListQueue()), raise_server_exceptions=False)


@pytest.mark.parametrize(("path", "status"), [("/limited", 413), ("/unlimited", 200)])
def test_large_body_needs_a_route_with_its_own_limit(client: TestClient, path: str, status: int) -> None:
    assert client.post(path, content=bytes(MAX_BODY_BYTES)).status_code == 200
    assert client.post(path, content=bytes(MAX_BODY_BYTES + 1)).status_code == status


@pytest.mark.parametrize("path", ["/health/live", "/openapi.json", "/nothing", "/datasets"])
def test_responses_have_security_headers(service: TestClient, path: str) -> None:
    headers = service.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'self'; frame-ancestors 'none'"


def test_unexpected_error_announces_the_end_of_the_connection(service: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.datasets.datasets", None)
    response = service.get("/datasets")
    assert (response.status_code, response.headers["Connection"]) == (500, "close")
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_log_line_has_only_the_start_of_a_long_path(service: TestClient) -> None:
    with capture_logs() as lines:
        service.get("/" + "x" * 10_000)
    assert [len(line["path"]) for line in lines if line["event"] == "request"] == [MAX_LOGGED_PATH]


@pytest.mark.parametrize("path", ["/jobs", "/predict"])
@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"model": "\xff"}', b"[" * 100_000, b"1" * 10_000])
def test_malformed_json_is_the_same_error_everywhere(service: TestClient, path: str, body: bytes) -> None:
    response = service.post(path, content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
