"""Hosts and web pages that the server answers to, through FastAPI and through the fast path."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.api.origin_policy import OriginPolicy, source_of
from app.main import create_app
from app.settings import Settings
from tests.support.list_queue import ListQueue

both_paths = pytest.mark.parametrize("fast_path", ["on", "off"])

OWN = {"Host": "127.0.0.1:8000"}


def code_of(response: Any) -> str | None:
    return response.json().get("code") if response.status_code >= 400 else None


@pytest.fixture
def client(settings: Settings) -> TestClient:
    changed = {"hosts": ("api.example.org", "*.internal"), "origins": ("https://app.example.org",), "auth": "off"}
    return TestClient(create_app(settings.model_copy(update=changed), ListQueue(), host="myhost"))


@both_paths
@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST:8000", "localhost.", "127.0.0.1:8000", "10.1.2.3", "[::1]:8000", "[::1]"),
        *("api.example.org", "api.example.org:443", "a.internal", "myhost:8000"),
    ],
)
def test_allowed_host_is_answered(client: TestClient, host: str) -> None:
    assert client.get("/health/live", headers={"Host": host}).status_code == 200


@both_paths
@pytest.mark.parametrize("path", ["/health/live", "/datasets", "/v2/models/m"])
@pytest.mark.parametrize("host", ["rebound.evil.example:8471", "example.org", "internal", "localhost.evil.example", "0x7f.1"])
def test_rebound_host_is_refused(client: TestClient, host: str, path: str) -> None:
    response = client.get(path, headers={"Host": host, "Origin": f"http://{host}"})
    assert (response.status_code, code_of(response)) == (403, "host_not_allowed")
    assert response.headers["X-Request-ID"] == response.json()["request_id"]
    assert ("error" in response.json()) == path.startswith("/v2")


@pytest.mark.parametrize("host", ["", "a b", "a,b", "localhost:80:80", "user@localhost", "[::1", "x" * 400])
def test_invalid_host_is_a_bad_request(client: TestClient, host: str) -> None:
    response = client.get("/health/live", headers={"Host": host})
    assert (response.status_code, code_of(response)) == (400, "invalid_host")


@pytest.mark.parametrize("path", ["/predict", "/v2/models/m/infer", "/jobs", "/datasets"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9000"},
        {"Origin": "http://" + "x" * 400},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ],
)
def test_post_of_another_page_is_refused(client: TestClient, headers: dict[str, str], path: str) -> None:
    response = client.post(path, headers=OWN | headers, content=b"{}")
    assert (response.status_code, code_of(response)) == (403, "cross_site_request")


@both_paths
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://127.0.0.1:8000"},
        {"Origin": "https://127.0.0.1:8000"},
        {"Origin": "https://app.example.org", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ],
)
def test_own_pages_links_and_allowed_origins_are_answered(client: TestClient, headers: dict[str, str]) -> None:
    assert client.get("/health/live", headers=OWN | headers).status_code == 200


@both_paths
def test_default_port_of_an_origin_may_be_named(client: TestClient) -> None:
    headers = {"Host": "api.example.org:443", "Origin": "https://api.example.org"}
    assert client.get("/health/live", headers=headers).status_code == 200


@pytest.mark.parametrize(("version", "is_allowed"), [("1.0", True), ("1.1", False)])
def test_only_old_requests_need_no_host(version: str, is_allowed: bool) -> None:
    assert (OriginPolicy().check(source_of([], "GET", version)) is None) == is_allowed


def test_two_hosts_are_refused() -> None:
    error = OriginPolicy().check(source_of([(b"host", b"localhost"), (b"host", b"localhost")], "GET", "1.1"))
    assert error is not None
    assert error.code() == "invalid_host"
