"""Every operation of the OpenAPI document x scope x project: each response follows from the declared scope."""

import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from app.auth.scopes import SCOPES
from app.job_state import JobStatus
from app.job_types.batch_prediction import BATCH_PREDICTION
from app.job_types.evaluation import EVALUATION
from app.main import create_app
from app.schemas.batch_predictions import BatchPredictionOptions
from app.settings import Settings
from tests.support.api_keys import bearer, make_key
from tests.support.factories import make_dataset, make_job, make_label_request, make_version
from tests.support.list_queue import ListQueue

Sessions = sessionmaker[Session]
REFUSALS = {401, 403}
SHARED = {"/keys/{key_id}"}
"""Objects that belong to no project."""


@pytest.fixture
def protected(settings: Settings, sessions: Sessions, queue: ListQueue) -> Iterator[TestClient]:
    app = create_app(settings.model_copy(update={"auth": "required"}), queue)
    app.state.engine.dispose()
    app.state.sessions = sessions
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def seed(sessions: Sessions) -> dict[str, str]:
    """Add one of each object to the default project; return the values of the path parameters that name them."""
    name = f"m{uuid.uuid4().hex}"
    with sessions.begin() as session:
        dataset = make_dataset(session)
        job = make_job(session, model_name=name, status=JobStatus.FAILED)
        make_version(session, model=name, artifacts=["model.onnx"])
        options = BatchPredictionOptions().model_dump() | {"total": 1}
        fields = {"kind": BATCH_PREDICTION.name, "source_id": dataset.id, "base": {"model": f"{name}:1"}, "params": options}
        prediction = make_job(session, model_name=name, status=JobStatus.FAILED, **fields)
        fields |= {"kind": EVALUATION.name, "params": {"versions": [], "total": 1}}
        evaluation = make_job(session, model_name=name, status=JobStatus.FAILED, **fields)
        labels = make_label_request(session, dataset, model_name=name)
    ids = {"dataset_id": str(dataset.id), "job_id": str(job.id), "batch_prediction_id": str(prediction.id)}
    ids |= {"evaluation_id": str(evaluation.id), "request_id": str(labels.id), "reference": name}
    return {"name": name, "model": name, "number": "1", "version": "1", "alias": "beta", "file": "model.onnx", **ids}


def body_of(label: str, known: Mapping[str, str]) -> Any:
    """Return a body that the operation accepts."""
    tensor = {"name": "x", "shape": [1], "datatype": "FP32", "data": [0]}
    if label.endswith("/infer"):
        return {"inputs": [tensor]}
    bodies: dict[str, Any] = {
        "PUT /label-requests/{request_id}/labels": {"labels": [{"row": 1, "label": "yes"}]},
        "POST /label-requests/{request_id}/dataset": {"name": "labels"},
        "POST /label-requests/{request_id}/import": [{"row": 1, "label": "yes"}],
        "POST /evaluations": {"versions": [known["model"]], "dataset": known["dataset_id"]},
        "PUT /models/{name}/aliases/{alias}": {"version": 1},
        "POST /predict": {"model": known["model"], "inputs": [1]},
        "POST /invocations": {"inputs": [1]},
        "POST /models/{reference}/invocations": {"inputs": [1]},
        "POST /v1/models/{name}:predict": {"instances": [1]},
        "POST /jobs": {"model": "new", "source": known["dataset_id"], "params": {"algorithm": "fine_tune"}},
        "POST /batch-predictions": {"model": known["model"], "dataset": known["dataset_id"]},
        "POST /keys": {"name": "new", "scopes": ["predict"]},
    }
    return bodies.get(label, {})


def reads_files(path: str) -> bool:
    """Return whether the operation reads a file of the seeded objects, which have none."""
    return path.endswith(("/preview", "/invocations")) or path.startswith(("/v1/models/", "/v2/models/", "/predict"))


class Matrix:
    """Requests of every operation to a protected app."""

    def __init__(self, client: TestClient, sessions: Sessions) -> None:
        self.client, self.sessions = client, sessions
        self.paths: dict[str, dict[str, Any]] = client.get("/openapi.json").json()["paths"]

    def operations(self) -> Iterator[tuple[str, str, str]]:
        """Yield method, path and scope of every protected operation."""
        for path, operations in self.paths.items():
            for method, operation in operations.items():
                if operation["security"]:
                    yield method.upper(), path, operation["x-required-scope"]

    def send(self, method: str, path: str, known: Mapping[str, str], key: str | None) -> Any:
        parameters = re.findall(r"{(\w+)}", path)
        url = path.format(**{name: known.get(name, str(uuid.UUID(int=7))) for name in parameters})
        headers = {"X-Model": known["model"], **(bearer(key) if key else {})}
        body = body_of(f"{method} {path}", known) if method in ("POST", "PUT", "PATCH") else None
        return self.client.request(method, url, json=body, headers=headers)


@pytest.fixture
def matrix(protected: TestClient, sessions: Sessions) -> Matrix:
    return Matrix(protected, sessions)


def test_key_with_the_declared_scope_alone_is_let_in(matrix: Matrix, sessions: Sessions) -> None:
    keys = {scope: make_key(sessions, scope) for scope in SCOPES}
    admin = keys["admin"]
    for method, path, scope in matrix.operations():
        for key in (keys[scope], admin):
            answer = matrix.send(method, path, seed(sessions), key)
            assert answer.status_code not in REFUSALS, (method, path, answer.text)
            assert answer.status_code < 500 or reads_files(path), (method, path, answer.text)


def test_key_with_all_other_scopes_is_refused(matrix: Matrix, sessions: Sessions) -> None:
    known = seed(sessions)
    for method, path, scope in matrix.operations():
        key = make_key(sessions, *(SCOPES.keys() - {scope, "admin"}))
        answer = matrix.send(method, path, known, key)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (method, path, answer.text)
        assert scope in answer.json()["detail"]
        assert matrix.send(method, path, known, None).status_code == 401, (method, path)


def test_key_of_another_project_finds_nothing(matrix: Matrix, sessions: Sessions) -> None:
    key, known = make_key(sessions, *SCOPES, project="other"), seed(sessions)
    for method, path, _ in matrix.operations():
        answer = matrix.send(method, path, known, key)
        if "{" in path and path not in SHARED:
            assert answer.status_code == 404, (method, path, answer.text)
        if answer.status_code < 300:
            assert not any(len(value) > 10 and value in answer.text for value in known.values()), (method, path)
    for path in ("/predict", "/invocations"):
        assert matrix.send("POST", path, known, key).status_code == 404
    for path in ("/jobs", "/batch-predictions", "/evaluations"):
        assert matrix.send("POST", path, known, key).status_code == 422
