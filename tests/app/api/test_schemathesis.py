"""Whatever is sent, allowed by the OpenAPI document or not, no answer is a 5xx and every answer is a documented one."""

import io
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance
from sqlalchemy.orm import Session
from starlette.types import Receive, Scope, Send

from app.db.tables import DatasetRow
from app.job_state import JobStatus
from app.job_types.batch_prediction import BATCH_PREDICTION, BatchPredictionResult
from app.job_types.evaluation import EVALUATION
from app.main import create_app
from app.schemas.batch_predictions import BatchPredictionOptions
from app.services import leases
from app.settings import Settings
from app.storage import StoredFile
from tests.support.databases import create_postgres_database
from tests.support.factories import csv_bytes, lease_of, make_job, make_label_request
from tests.support.list_queue import ListQueue
from tests.support.published_models import export_network, store_version

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
Operation = APIOperation[Any, Any, Any, Any]
UNDOCUMENTED = {400, 405}
"""A body that cannot be read at all, and a method that a route does not have."""


@schemathesis.serializer("application/x-npy", "application/vnd.apache.arrow.stream")
def as_it_is(_: schemathesis.SerializationContext, value: Any) -> bytes:
    return bytes(value.data) if hasattr(value, "data") else str(value).encode()


MAX_CASES = 500
"""Boundary cases of one operation. A job has thousands, because every method has parameters of its own; some are left out."""


@pytest.fixture(scope="module")
def app(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    """Run the app on PostgreSQL, which rejects more values than SQLite."""
    url = create_postgres_database(postgres_server, "schemathesis")
    # the client of schemathesis has a host name of its own
    values = Settings(data_dir=tmp_path_factory.mktemp("api"), database_url=url, hosts=("*",), auth="off", _env_file=None)
    app = create_app(values, ListQueue())
    with TestClient(app):
        yield app


@pytest.fixture(scope="module")
def known(app: FastAPI, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Things that exist, so that requests get past the first look."""
    content = csv_bytes(["age", "label"], [[age, "yes" if age % 2 else "no"] for age in range(20)])
    upload = {"file": ("patients.csv", io.BytesIO(content))}
    dataset = TestClient(app).post("/datasets", data={"name": "patients"}, files=upload)
    assert dataset.status_code == 201, dataset.text
    exported = export_network("tabular", ["no", "yes"], tmp_path_factory.mktemp("model"))
    with app.state.sessions() as session:
        store_version(session, app.state.storage, exported, "digits")
    with app.state.sessions.begin() as session:
        job = make_job(session, status=JobStatus.RUNNING)
        leases.fail(session, lease_of(job), "bad_data", "Row 7 is broken.")
        make_job(session, source_id=dataset.json()["id"])  # keeps the dataset from being deleted
        prediction_id = make_prediction(session, UUID(dataset.json()["id"]))
        request = make_label_request(session, session.get_one(DatasetRow, UUID(dataset.json()["id"])))
        fields = {"kind": EVALUATION.name, "source_id": request.dataset_id, "params": {"versions": [], "total": 20}}
        evaluation = make_job(session, status=JobStatus.FAILED, **fields)
    ids = {"job_id": str(job.id), "dataset_id": dataset.json()["id"], "batch_prediction_id": str(prediction_id)}
    ids |= {"request_id": str(request.id), "evaluation_id": str(evaluation.id)}
    return {"name": "digits", "number": 1, **ids}


def make_prediction(session: Session, dataset_id: UUID) -> UUID:
    """Add a successful batch prediction whose output is missing."""
    params = BatchPredictionOptions().model_dump() | {"total": 20}
    fields = {"kind": BATCH_PREDICTION.name, "source_id": dataset_id, "base": {"model": "digits:1"}, "params": params}
    job = make_job(session, status=JobStatus.RUNNING, **fields)
    file = StoredFile("jobs/j/1/output.parquet", digest="0" * 64, size_bytes=10)
    leases.finish(session, lease_of(job), BatchPredictionResult(metrics={"completed": 20, "failed": 0}, rows=20, file=file))
    return job.id


@pytest.fixture(scope="module")
def operations(app: FastAPI) -> list[Operation]:
    async def requests_only(scope: Scope, receive: Receive, send: Send) -> None:
        """Schemathesis would start and stop the app once more."""
        assert scope["type"] == "http"
        await app(scope, receive, send)

    schema = schemathesis.openapi.from_asgi("/openapi.json", requests_only)
    return [operation.ok() for operation in schema.get_all_operations() if isinstance(operation, Ok)]


def check(case: Case[Any]) -> None:
    answer = case.call()
    case.validate_response(answer, checks=CHECKS)
    documented = case.operation.definition.raw["responses"]
    assert answer.status_code in UNDOCUMENTED or str(answer.status_code) in documented, answer.text


def check_many(operation: Operation, mode: GenerationMode, known: dict[str, Any] | None = None) -> None:
    """Send what Hypothesis thinks of; with `known`, ask for things that exist."""

    @settings(max_examples=5, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Case[Any]) -> None:
        if known is not None:
            case.path_parameters.update({name: known[name] for name in case.path_parameters if name in known})
            if operation.label == "POST /jobs" and isinstance(case.body, dict):
                case.body.update(source=known["dataset_id"], target=None, evaluation=None)
            if operation.label == "POST /batch-predictions" and isinstance(case.body, dict):
                case.body.update(model=known["name"], dataset=known["dataset_id"])
            if operation.label == "POST /evaluations" and isinstance(case.body, dict):
                case.body.update(versions=[known["name"]], dataset=known["dataset_id"])
        check(case)

    send()


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_any_request_gets_a_documented_response(operations: list[Operation], mode: GenerationMode) -> None:
    assert len(operations) > 20
    for operation in operations:
        if mode == GenerationMode.POSITIVE or operation.body or len(operation.query) or len(operation.path_parameters):
            check_many(operation, mode)


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_any_request_for_existing_objects_gets_a_documented_response(
    operations: list[Operation], known: dict[str, Any], mode: GenerationMode
) -> None:
    for operation in operations:
        if "{" in operation.path or operation.label in ("POST /jobs", "POST /batch-predictions", "POST /evaluations"):
            check_many(operation, mode, known)


@pytest.mark.usefixtures("known")
def test_boundary_values_and_methods_get_a_documented_response(operations: list[Operation]) -> None:
    modes = list(GenerationMode)
    for operation in operations:
        config = operation.schema.config.generation_for(operation=operation, phase="coverage")
        cases = list(operation.schema.iter_coverage_cases(operation, generation_modes=modes, generation_config=config))
        for case in cases[:: 1 + len(cases) // MAX_CASES]:
            check(case)
