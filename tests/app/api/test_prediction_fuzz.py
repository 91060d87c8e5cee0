"""Damaged and hostile bodies for every protocol: refused, never a 5xx, and the next good request is answered."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.db.session import SessionFactory
from app.main import create_app
from app.settings import Settings
from app.storage import Storage
from tests.support.databases import migrate
from tests.support.list_queue import ListQueue
from tests.support.published_models import EXAMPLES, export_network, store_version

IMAGE = np.zeros((1, 16, 16, 3), np.uint8)
TENSOR = {"name": "pixels", "shape": [1, 16, 16, 3], "datatype": "UINT8"}
GOOD: dict[str, Any] = {
    "image": {"model": "image", "inputs": IMAGE.tolist()},
    "tabular": {"model": "tabular", "inputs": [[1.5, "f"], {"age": None, "sex": "m"}]},
    "text": {"model": "text", "inputs": ["fine", "dull"], "top_k": 2},
}
NUMBERS = ["1e999", "-1e999", "NaN", "-0", "99999999999999999999999", "1" * 400, "0.0000001", "true", "null", '""', "[]", "{}"]
HOSTILE = st.sampled_from([*NUMBERS, "[" * 2000, '"' + "x" * 5000 + '"', '"\\ud800"', "\x00", "-1", "18446744073709551616"])

fuzzed = settings(max_examples=120, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    config = Settings(data_dir=tmp_path_factory.mktemp("fuzz"), max_predict_bytes=100_000, _env_file=None)
    migrate(config.database)
    app: FastAPI = create_app(config, ListQueue())
    with SessionFactory(app.state.engine)() as session:
        for name in EXAMPLES:
            exported = export_network(name, ["eight", "nine"], tmp_path_factory.mktemp(name))
            store_version(session, Storage(config.storage), exported, name)
    with TestClient(app, raise_server_exceptions=False) as client:
        for body in GOOD.values():
            assert client.post("/predict", json=body).status_code == 200
        yield client


def damaged(data: st.DataObject, content: bytes) -> bytes:
    """Return the content truncated, or with a few bytes replaced by random or hostile ones."""
    text = bytearray(content)
    for _ in range(data.draw(st.integers(0, 3))):
        position = data.draw(st.integers(0, max(0, len(text) - 1)))
        other = data.draw(st.one_of(HOSTILE.map(lambda value: value.encode("utf-8", "replace")), st.binary(max_size=3)))
        text[position : position + data.draw(st.integers(0, 4))] = other
    return bytes(text[: data.draw(st.integers(0, len(text)))] if data.draw(st.booleans()) else text)


def check(client: TestClient, path: str, content: bytes, headers: dict[str, str]) -> None:
    answer = client.post(path, content=content, headers=headers)
    assert answer.status_code in {200, 404, 413, 415, 422}, (answer.status_code, answer.text, content[:500])
    if answer.status_code == 200 and "json" in answer.headers["content-type"]:
        json.loads(answer.content)


@fuzzed
@given(data=st.data())
def test_predict_survives_any_json(client: TestClient, data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(list(GOOD)))
    separators = data.draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    body = json.dumps(GOOD[model], separators=separators).encode()
    check(client, "/predict", damaged(data, body), {"content-type": "application/json"})
    assert client.post("/predict", json=GOOD[model]).status_code == 200


@fuzzed
@given(data=st.data())
def test_predict_survives_any_array(client: TestClient, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["application/octet-stream", "application/x-npy", "application/vnd.apache.arrow.stream"]))
    model = data.draw(st.sampled_from([*GOOD, "nothing", "\x00", "image:99999999999999999999"]))
    content = damaged(
        data, b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (1, 16, 16, 3), }" + bytes(800)
    )
    headers = {"content-type": kind, "x-model": model.encode("unicode_escape").decode()}
    check(client, "/predict", content, headers)


@fuzzed
@given(data=st.data())
def test_infer_survives_any_binary_tensor(client: TestClient, data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([768, 0, -1, 767, 2**31, 2**63, 10**30, 1.5, "768", None]))
    shape = data.draw(st.sampled_from([[1, 16, 16, 3], [-1, 16, 16, 3], [768], [], [2**62, 2**62, 4], [1.5], [0, 16, 16, 3]]))
    datatype = data.draw(st.sampled_from(["UINT8", "FP32", "BYTES", "INT64", "BOOL", "FP16"]))
    tensor = TENSOR | {"shape": shape, "datatype": datatype, "parameters": {"binary_data_size": size}}
    head = damaged(data, json.dumps({"inputs": [tensor] * data.draw(st.integers(0, 2))}).encode())
    behind = data.draw(st.one_of(st.just(bytes(768)), st.binary(max_size=50), st.just(b"\xff" * 768)))
    length = data.draw(st.sampled_from([str(len(head)), "0", "-1", str(2**63), "7", "x", ""]))
    check(client, "/v2/models/image/infer", head + behind, {"Inference-Header-Content-Length": length})


@fuzzed
@given(data=st.data())
def test_infer_survives_any_json_tensor(client: TestClient, data: st.DataObject) -> None:
    values: Any = data.draw(
        st.sampled_from([[0] * 768, IMAGE.tolist(), [1e308] * 768, [[0], [0, 1]], ["x"] * 768, [None] * 768, [{}]])
    )
    datatype = data.draw(st.sampled_from(["UINT8", "FP32", "BYTES", "INT64", "BOOL", "FP64"]))
    model = data.draw(st.sampled_from(list(GOOD)))
    body = json.dumps({"inputs": [TENSOR | {"datatype": datatype, "data": values}]}).encode()
    check(client, f"/v2/models/{model}/infer", damaged(data, body), {})


@fuzzed
@given(data=st.data())
def test_invocations_survive_any_body(client: TestClient, data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(list(GOOD)))
    way = data.draw(st.sampled_from(["instances", "inputs", "dataframe_records", "dataframe_split"]))
    values = data.draw(
        st.sampled_from([GOOD[model]["inputs"], {"columns": ["age", "sex"], "data": [[1, "f"]]}, {"age": [1], "sex": ["f"]}])
    )
    body = damaged(data, json.dumps({way: values}).encode())
    check(client, f"/invocations?model={model}", body, {"content-type": "application/json"})
