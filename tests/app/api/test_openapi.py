"""The OpenAPI document knows no errors but problem documents."""

import json

from fastapi.testclient import TestClient
from jsonschema import validate as validate_instance
from openapi_spec_validator import validate

from app.auth.scopes import SCOPES


def test_every_error_of_every_operation_is_a_problem_document(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            errors = {status: answer for status, answer in operation["responses"].items() if status[0] in "45d"}
            assert "default" in errors, (method, path)
            for status, answer in errors.items():
                assert list(answer["content"]) == ["application/problem+json"], (method, path, status)


def test_references_resolve_and_default_errors_are_removed(client: TestClient) -> None:
    text = client.get("/openapi.json").text
    schemas = json.loads(text)["components"]["schemas"]
    assert {"Problem", "InvalidField"} <= set(schemas)
    assert "HTTPValidationError" not in text
    references = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert references <= set(schemas)


def test_every_operation_has_a_summary_and_a_described_tag(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    tags = {tag["name"] for tag in document["tags"]}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("description"), (method, path)
            assert set(operation["tags"]) <= tags


def test_every_operation_declares_its_scope_or_is_open(client: TestClient) -> None:
    """An operation without `security` names neither `requires(...)` nor `OPEN` in its dependencies."""
    opened = set()
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        for method, operation in operations.items():
            assert "security" in operation, f"{method} {path}: add dependencies=[requires(...)] (app.api.authorization)"
            if operation["security"]:
                assert operation["x-required-scope"] in SCOPES
            else:
                opened.add(path)
    assert opened == {
        "/health/live",
        "/health/ready",
        "/models/{reference}/ping",
        "/ping",
        "/session",
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
    }


def test_document_is_valid_and_operations_are_named_like_their_functions(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    validate(document)
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(set(names)) == len(names)
    assert {"submit_job", "list_workers", "get_job_log", "get_version", "infer"} <= set(names)
    assert "$defs" not in json.dumps(document)


def test_every_body_has_an_example_that_its_schema_accepts(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    for path in document["paths"].values():
        for operation in path.values():
            if "requestBody" in operation:
                media_type, content = next(iter(operation["requestBody"]["content"].items()))
                assert "example" in content, operation["operationId"]
                if media_type == "application/json":
                    validate_instance(content["example"], {**content["schema"], "components": document["components"]})
