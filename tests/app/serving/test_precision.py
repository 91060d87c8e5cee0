"""Tests of the precision of predictions: requested, preferred by the settings, or missing."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnxruntime
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from app.main import create_app
from app.settings import Settings
from app.storage import Storage
from tests.support.factories import image_bytes, make_dataset
from tests.support.fast_path import DECLINED, isolate_fast_path
from tests.support.list_queue import ListQueue
from tests.support.published_models import EXAMPLES, Exported, add_int8, export_network, store_version

# the queries are tested on both databases in test_models
pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

ROWS = [list(row) for row in EXAMPLES["tabular"].rows()]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """Return versions by name. `plain` has no int8 graph; that of `tabular` is of another network, so its predictions differ."""
    made = {name: export_network(name, ["a", "b", "c"], tmp_path_factory.mktemp(name)) for name in ("tabular", "image")}
    other = export_network("tabular", ["a", "b", "c"], tmp_path_factory.mktemp("other"), seed=1)
    plain = export_network("tabular", ["a", "b", "c"], tmp_path_factory.mktemp("plain"))
    add_int8(other).rename(made["tabular"].folder / "model.int8.onnx")
    add_int8(made["image"])
    return made | {"plain": plain}


@pytest.fixture
def stored(session: Session, storage: Storage, exported: dict[str, Exported]) -> dict[str, Exported]:
    for name, one in exported.items():
        store_version(session, storage, one, name)
    return exported


def confidences(exported: Exported, graph: str, modality: str = "tabular") -> list[float]:
    session = onnxruntime.InferenceSession(exported.folder / graph, providers=["CPUExecutionProvider"])
    logits = session.run(["logits"], exported.encode(EXAMPLES[modality]))[0].astype(np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    maxima: list[float] = probabilities.max(axis=1).tolist()
    return maxima


def predict(client: TestClient, model: str = "tabular", **more: Any) -> list[float]:
    answer = client.post("/predict", json={"model": model, "inputs": ROWS, **more})
    assert answer.status_code == 200, answer.text
    return [prediction["confidence"] for prediction in answer.json()["predictions"]]


def close(actual: list[float], expected: list[float]) -> bool:
    return bool(np.allclose(actual, expected, atol=1e-5))


def test_request_selects_the_graph(client: TestClient, stored: dict[str, Exported]) -> None:
    whole, compact = (confidences(stored["tabular"], name) for name in ("model.onnx", "model.int8.onnx"))
    assert not close(whole, compact)
    for _ in range(2):  # once to load, once from memory, where the short way answers what names no graph
        assert close(predict(client), whole)
        assert close(predict(client, precision="int8"), compact)
        assert close(predict(client, precision="float32"), whole)


@pytest.fixture
def fast_path_only(client: TestClient, stored: dict[str, Exported]) -> TestClient:
    """Return a client without FastAPI behind the fast path, with both graphs of `tabular` and `image` loaded."""
    for precision in ("float32", "int8"):
        predict(client, precision=precision)
        assert as_bytes(client, stored["image"], precision).status_code == 200
    isolate_fast_path(client)
    return client


def as_bytes(client: TestClient, exported: Exported, precision: str) -> Any:
    content = exported.encode(EXAMPLES["image"])["pixels"].tobytes()
    query, headers = {"model": "image", "precision": precision}, {"content-type": "application/octet-stream"}
    return client.post("/predict", params=query, content=content, headers=headers)


@pytest.mark.parametrize(("precision", "graph"), [("float32", "model.onnx"), ("int8", "model.int8.onnx"), (None, "model.onnx")])
def test_fast_path_runs_the_requested_graph(
    fast_path_only: TestClient, stored: dict[str, Exported], precision: str | None, graph: str
) -> None:
    assert close(predict(fast_path_only, precision=precision), confidences(stored["tabular"], graph))
    if precision is not None:
        predictions = as_bytes(fast_path_only, stored["image"], precision).json()["predictions"]
        assert close([prediction["confidence"] for prediction in predictions], confidences(stored["image"], graph, "image"))


def test_fast_path_rejects_missing_graphs_and_declines_invalid_names(
    fast_path_only: TestClient, stored: dict[str, Exported]
) -> None:
    body = {"model": "tabular", "inputs": ROWS}
    missing = fast_path_only.post("/predict", json={**body, "precision": "float16"})
    assert (missing.status_code, missing.json()["code"]) == (404, "precision_not_found")
    assert as_bytes(fast_path_only, stored["image"], "float16").json()["code"] == "precision_not_found"
    odds: tuple[object, ...] = ("int4", 8, ["int8"], {})
    for odd in odds:
        assert fast_path_only.post("/predict", json={**body, "precision": odd}).status_code == DECLINED
    assert as_bytes(fast_path_only, stored["image"], "").status_code == DECLINED


def test_image_requests_select_the_graph(client: TestClient, stored: dict[str, Exported]) -> None:
    expected = confidences(stored["image"], "model.int8.onnx", "image")
    assert not close(expected, confidences(stored["image"], "model.onnx", "image"))
    files = [("files", io.BytesIO(image_bytes(pixels))) for pixels in EXAMPLES["image"]]
    as_files = client.post("/predict", data={"model": "image", "precision": "int8"}, files=files)
    for answer in (as_files, as_bytes(client, stored["image"], "int8")):
        assert answer.status_code == 200, answer.text
        assert close([prediction["confidence"] for prediction in answer.json()["predictions"]], expected)


@pytest.mark.parametrize("known", [False, True])
def test_missing_graph_is_not_found(client: TestClient, stored: dict[str, Exported], known: bool) -> None:
    if known:
        predict(client)
    answer = client.post("/predict", json={"model": "tabular", "inputs": ROWS, "precision": "float16"})
    assert answer.status_code == 404
    assert answer.json()["code"] == "precision_not_found"
    assert "Version 1 of tabular has no float16 graph" in answer.json()["detail"]
    unknown = client.post("/predict", json={"model": "tabular", "inputs": ROWS, "precision": "int4"})
    assert unknown.status_code == 422
    assert unknown.json()["errors"][0]["pointer"] == "/precision"


@pytest.fixture
def preferring_int8(settings: Settings, sessions: sessionmaker[Session]) -> Iterator[TestClient]:
    app = create_app(settings.model_copy(update={"predict_precision": "int8"}), ListQueue())
    app.state.engine.dispose()
    app.state.sessions = sessions
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_settings_select_the_graph_by_default(preferring_int8: TestClient, stored: dict[str, Exported]) -> None:
    whole, compact = (confidences(stored["tabular"], name) for name in ("model.onnx", "model.int8.onnx"))
    for _ in range(2):
        assert close(predict(preferring_int8), compact)
        assert close(predict(preferring_int8, precision="float32"), whole)
        assert close(predict(preferring_int8, "plain"), confidences(stored["plain"], "model.onnx"))
    tensor = {"name": "pixels", "datatype": "UINT8"}
    pixels = stored["image"].encode(EXAMPLES["image"])["pixels"]
    body = {"inputs": [{**tensor, "shape": list(pixels.shape), "data": pixels.ravel().tolist()}]}
    answer = preferring_int8.post("/v2/models/image/infer", json=body)
    outputs = {output["name"]: output["data"] for output in answer.json()["outputs"]}
    assert close(outputs["confidence"], confidences(stored["image"], "model.int8.onnx", "image"))


def test_batch_prediction_requires_an_existing_graph(client: TestClient, session: Session, stored: dict[str, Exported]) -> None:
    columns = [{"name": "age", "kind": "number", "missing": 0}, {"name": "sex", "kind": "category", "missing": 0}]
    data = make_dataset(session, labelled=False, classes=None, profile={"columns": columns, "label": None})
    session.commit()
    body = {"model": "tabular", "dataset": str(data.id)}
    accepted = client.post("/batch-predictions", json={**body, "precision": "int8"})
    assert (accepted.status_code, accepted.json()["precision"]) == (202, "int8")
    assert client.post("/batch-predictions", json=body).json()["precision"] == "float32"
    refused = client.post("/batch-predictions", json={**body, "precision": "float16"})
    assert refused.status_code == 422
    assert refused.json()["errors"] == [{"pointer": "/precision", "detail": "the version has no float16 graph"}]
