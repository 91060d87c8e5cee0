"""The client, the generated clients and the OpenAPI document of the server agree."""

import ast
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from app.main import create_app
from app.settings import Settings
from isthmus import records, resources
from isthmus.routes import Group, ListRoute, Route
from tests.support.paths import ROOT

OTHER_PROTOCOLS = re.compile(r"/(v1|v2|ping|invocations|metrics|session)\b|.*/(events|invocations|ping)$")
"""Routes of other clients, of Prometheus, of browsers, and streams: the client waits by long polls."""
SOURCES = sorted((ROOT / "client/src/isthmus").glob("*.py"))


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("contract"), _env_file=None)
    document: dict[str, Any] = create_app(settings).openapi()
    return document


def key(method: str, path: str) -> tuple[str, str]:
    """Return a route without the names of its parameters."""
    return method.upper(), re.sub(r"{\w+}", "{}", path)


def routes() -> dict[tuple[str, str], Route[Any]]:
    """Return all routes of the client."""
    groups = [cls for _, cls in inspect.getmembers(resources, inspect.isclass) if issubclass(cls, Group)]
    found = [value for group in groups for value in vars(group).values() if isinstance(value, Route)]
    return {key(route.method, route.path): route for route in found}


def operations(document: dict[str, Any]) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    """Yield all operations that belong to this client."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if not OTHER_PROTOCOLS.match(path):
                yield key(method, path), operation


def schema_of(document: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """Return the resolved schema of a request or response body."""
    body = next(iter(content["content"].values()))
    schema: dict[str, Any] = body["schema"]
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def test_client_has_all_routes_and_no_others(document: dict[str, Any]) -> None:
    assert routes().keys() == {route for route, _ in operations(document)}


def test_client_has_all_parameters_of_each_route(document: dict[str, Any]) -> None:
    ours = routes()
    for route, operation in operations(document):
        query = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "query"}
        headers = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "header"}
        body = set(schema_of(document, operation["requestBody"]).get("properties", ())) if "requestBody" in operation else set()
        if route != ("POST", "/predict"):  # its query parameters are for bodies that are arrays
            assert set(ours[route].query) == query, route
        assert set(ours[route].body) == body, route
        assert ours[route].idempotent == ("idempotency-key" in headers), route


def test_fields_of_records_exist_in_the_responses(document: dict[str, Any]) -> None:
    ours, checked = routes(), set()
    for route, operation in operations(document):
        if isinstance(ours[route].result, type):
            response = next(response for status, response in operation["responses"].items() if status.startswith("2"))
            fields = set(get_type_hints(ours[route].result))
            assert fields <= set(schema_of(document, response)["properties"]), route
            checked.add(ours[route].result)
    assert {records.Dataset, records.Job, records.Model, records.Version, records.BatchPrediction} <= checked


def test_lists_are_pages(document: dict[str, Any]) -> None:
    for route, operation in operations(document):
        response = operation["responses"].get("200")
        if isinstance(routes()[route], ListRoute):
            assert "data" in schema_of(document, response)["properties"], route


def test_client_is_small_and_imports_only_httpx2() -> None:
    assert sum(bool(line.strip()) for path in SOURCES for line in path.read_text().splitlines()) <= 1000
    imported = {
        name.partition(".")[0]
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - set(sys.stdlib_module_names) == {"httpx2", "isthmus"}
    assert [path.name for path in SOURCES if "httpx2" in path.read_text()] == ["client.py", "transport.py"]


def test_generated_client_has_all_routes(document: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "config.yml").write_text("post_hooks: []\n")
    options = ["--path", "openapi.json", "--config", "config.yml", "--meta", "none", "--output-path", "generated"]
    command = [sys.executable, "-m", "openapi_python_client", "generate", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stdout, done.stdout
    modules = [path for path in (tmp_path / "generated" / "api").rglob("*.py") if path.name != "__init__.py"]
    assert len(modules) == sum(len(methods) for methods in document["paths"].values())
