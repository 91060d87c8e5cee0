"""The OpenAPI document, with problem documents instead of FastAPI's own errors."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from app.api import openapi_examples
from app.api.authorization import declared_scope
from app.api.deps import SCHEMA_REFERENCE, error_responses
from app.errors import Forbidden, RateLimited, Unauthenticated
from app.job_types import JOB_TYPES
from app.schemas.problem_details import Problem

DESCRIPTION = """
The service adapts a model from labelled data of one domain (the *source*) to another domain (the *target*) whose data has no
labels. Upload both as **datasets**, queue a **job**, follow its progress, and request **predictions** of the new **model**
version.

Every error is an RFC 9457 problem document (`application/problem+json`) with a stable `code`; `errors` names each invalid
field, row or file. Lists are pages, newest first: pass `next` as `?after=`. Every response has an `X-Request-ID`.
Unless the service listens on a loopback address only, requests need an API key as `Authorization: Bearer KEY`. The member
`x-required-scope` of an operation is the scope that the key must have.
A model reference is one string: `digits` (`@production` if that alias exists, or else the newest version), `digits:3`,
`digits@production`.
"""
TAGS = [
    {"name": "datasets", "description": "Immutable uploads of images, tables or texts, labelled or unlabelled."},
    {"name": "algorithms", "description": "Available algorithms, networks and pretrained encoders."},
    *({"name": kind.tag, "description": kind.routes_help} for kind in JOB_TYPES.values() if kind.routes_help),
    {"name": "models", "description": "Names with numbered versions, aliases and downloadable artifacts."},
    {"name": "labels", "description": "Rows of a target that people label, and the accuracy that they measure."},
    {"name": "predict", "description": "Predictions of a model version."},
    {"name": "inference", "description": "Predictions with the Open Inference Protocol, version 2."},
    {"name": "workers", "description": "The processes that run jobs, with their hardware."},
    {"name": "storage", "description": "What is stored, and how much space it uses."},
    {"name": "webhooks", "description": "Addresses that receive signed events of jobs and models, and their deliveries."},
    {"name": "keys", "description": "API keys and the audit log, for administrators."},
    {"name": "session", "description": "Sign-in of the web UI."},
    {"name": "health", "description": "Liveness, readiness and Prometheus metrics."},
]
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
ANY_OTHER = (
    "Any other error, such as `service_unavailable` (503) while the database is unreachable, or `insufficient_storage` (507)."
)


def install(app: FastAPI) -> None:
    """Make `app.openapi()`, and thus `/openapi.json` and `/docs`, return this document."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, description=DESCRIPTION, routes=app.routes, tags=TAGS
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = Problem.model_json_schema(ref_template=SCHEMA_REFERENCE)
    schemas.update(problem.pop("$defs"))
    schemas["Problem"] = problem
    for path in document["paths"].values():
        for operation in path.values():
            _document_problems(operation["responses"])
    schemes = document["components"].setdefault("securitySchemes", {})
    schemes["bearer"] = {"type": "http", "scheme": "bearer", "description": "An API key. None is needed on loopback addresses."}
    _document_scopes(app, document["paths"])
    for operation in _operations(document):
        _name_body_schemas(operation, schemas)
        _describe_streams(operation)
    openapi_examples.add(document["paths"])
    return document


def operation_id(route: APIRoute) -> str:
    """Return the name of the route's function as its operation id."""
    return route.name


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def _name_body_schemas(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Move the schemas of bodies that routes read themselves to the components."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content["schema"]
        schemas.update(schema.pop("$defs", {}))
        if "title" in schema:
            schemas[schema["title"]] = schema
            content["schema"] = {"$ref": f"#/components/schemas/{schema['title']}"}


def _describe_streams(operation: dict[str, Any]) -> None:
    """Describe event streams as text: `itemSchema` belongs to OpenAPI 3.2, which few tools read."""
    for response in operation["responses"].values():
        for content in response.get("content", {}).values():
            if content.pop("itemSchema", None) is not None:
                content["schema"] = {"type": "string"}


def _document_scopes(app: FastAPI, paths: dict[str, Any]) -> None:
    """Add to every operation the scope that its route declares."""
    for route in iter_route_contexts(app.routes):
        scope = declared_scope(getattr(route, "dependencies", ()))
        if scope is None:
            continue
        for method in route.methods or ():
            operation = paths.get(str(route.path_format), {}).get(method.lower())
            if operation is not None:
                _document_scope(operation, scope)


def _document_scope(operation: dict[str, Any], scope: str) -> None:
    """Add the scope to an operation, as `security` and `x-required-scope`."""
    operation["security"] = [{"bearer": []}] if scope else []
    if scope:
        operation["x-required-scope"] = scope
        for status, response in error_responses(Unauthenticated, Forbidden, RateLimited).items():
            operation["responses"].setdefault(str(status), response)


def _document_problems(responses: dict[str, Any]) -> None:
    default = responses.get("422", {}).get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "")
    if default.endswith("/HTTPValidationError"):
        responses["422"] = {"description": "`invalid_request`: The request is invalid.", "content": PROBLEM}
    responses.setdefault("default", {"description": ANY_OTHER, "content": PROBLEM})
