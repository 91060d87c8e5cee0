"""Bodies that no route reads piece by piece are bounded."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.api.middleware import MAX_BODY_BYTES


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=b"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/jobs"), ("PUT", "/models/digits/aliases/production")])
def test_endless_body_is_rejected_while_it_arrives(client: TestClient, method: str, path: str, kind: str) -> None:
    def body() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * (MAX_BODY_BYTES // 10)

    answer = client.request(method, path, content=body(), headers={"content-type": kind})
    assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")
    assert answer.headers["content-type"] == "application/problem+json"
