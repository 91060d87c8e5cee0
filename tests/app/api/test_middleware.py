"""The default body limit applies to every route without a limit of its own."""

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from app.api.middleware import MAX_BODY_BYTES, BodySizeLimit, own_body_limit


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


@pytest.mark.parametrize(("path", "status"), [("/limited", 413), ("/unlimited", 200)])
def test_large_body_needs_a_route_with_its_own_limit(client: TestClient, path: str, status: int) -> None:
    assert client.post(path, content=bytes(MAX_BODY_BYTES)).status_code == 200
    assert client.post(path, content=bytes(MAX_BODY_BYTES + 1)).status_code == status
