"""The documentation page contacts no other host."""

import re
from base64 import b64encode
from hashlib import sha256

from fastapi.testclient import TestClient


def test_docs_page_names_no_other_host(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert "//" not in re.sub(r"^\s*//.*$", "", page.text, flags=re.MULTILINE)
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy


def test_policy_of_the_docs_page_allows_exactly_its_inline_script(client: TestClient) -> None:
    page = client.get("/docs")
    scripts = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    hashes = [f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts]
    directives = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert directives["script-src"].split() == ["'self'", *hashes]


def test_assets_of_the_docs_page_are_served(client: TestClient) -> None:
    assets = re.findall(r'(?:src|href)="([^"]+)"', client.get("/docs").text)
    assert len(assets) == 3
    for asset in assets:
        response = client.get(asset)
        assert response.status_code == 200
        assert len(response.content) > 1000


def test_redoc_page_is_disabled(client: TestClient) -> None:
    assert client.get("/redoc").status_code == 404
