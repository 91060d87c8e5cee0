"""MLflow's four ways to send inputs, raw arrays, `.npy` files and Arrow answers: one and the same prediction."""

import io
from typing import Any

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient

from tests.support.published_models import Exported

pytestmark = [
    pytest.mark.parametrize("engine", ["sqlite"], indirect=True),
    pytest.mark.parametrize("fast_path", ["on", "off"]),
]

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
ROWS: list[dict[str, Any]] = [{"age": 41.0, "sex": "m"}, {"age": None, "sex": None}]
NPY, ARROW = "application/x-npy", "application/vnd.apache.arrow.stream"


def predicted(client: TestClient, model: str, inputs: list[Any], **more: Any) -> Any:
    answer = client.post("/predict", json={"model": model, "inputs": inputs, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    "body",
    [
        {"instances": ROWS},
        {"inputs": ROWS},
        {"inputs": [list(row.values()) for row in ROWS]},
        {"inputs": {"sex": ["m", None], "age": [41.0, None]}},
        {"dataframe_records": ROWS},
        {"dataframe_split": {"index": [0, 1], "columns": ["sex", "age"], "data": [["m", 41.0], [None, None]]}},
    ],
)
def test_every_row_format_gives_the_predictions_of_predict(
    client: TestClient, models: dict[str, Exported], body: dict[str, Any]
) -> None:
    answer = client.post("/invocations", params={"model": "tabular"}, json=body)

    assert answer.status_code == 200, answer.text
    assert answer.json() == predicted(client, "tabular", ROWS)


@pytest.mark.parametrize(
    "body",
    [
        {"instances": ["fine", "dull"]},
        {"inputs": {"text": ["fine", "dull"]}},
        {"dataframe_records": [{"text": "fine"}, {"text": "dull"}]},
        {"dataframe_split": {"columns": ["text"], "data": [["fine"], ["dull"]]}},
    ],
)
def test_every_text_format_gives_the_predictions_of_predict(
    client: TestClient, models: dict[str, Exported], body: dict[str, Any]
) -> None:
    params = {"params": {"top_k": 1, "probabilities": True}}
    answer = client.post("/invocations", headers={"X-Model": "text"}, json=body | params)

    assert answer.status_code == 200, answer.text
    assert answer.json() == predicted(client, "text", ["fine", "dull"], top_k=1, probabilities=True)


@pytest.mark.parametrize(
    ("model", "body", "status", "pointer"),
    [
        (None, {"instances": ["fine"]}, 422, "/query/model"),
        ("text", {}, 422, ""),
        ("text", {"instances": ["fine"], "inputs": ["fine"]}, 422, ""),
        ("text", {"instances": []}, 422, ""),
        ("text", {"instances": ["fine"], "params": {"topk": 1}}, 422, "/params/topk"),
        ("text", {"dataframe_records": [3]}, 422, "/dataframe_records/0"),
        ("tabular", {"inputs": {"age": [1], "sex": []}}, 422, "/inputs"),
        ("tabular", {"dataframe_split": {"columns": ["age", "sex"], "data": [[1, "m"], [1]]}}, 422, "/dataframe_split/data/1"),
        ("tabular", {"dataframe_split": {"columns": ["age", "age"], "data": [[1, 2]]}}, 422, "/dataframe_split/columns"),
        ("tabular", {"dataframe_records": [{"age": 1}]}, 422, "/inputs/0/sex"),
    ],
)
def test_invalid_invocation_is_rejected_with_its_pointer(
    client: TestClient, models: dict[str, Exported], model: str | None, body: dict[str, Any], status: int, pointer: str
) -> None:
    answer = client.post("/invocations", params={"model": model} if model else {}, json=body)

    assert answer.status_code == status, answer.text
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


def npy(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("content", [npy(IMAGES), IMAGES.tobytes()])
def test_arrays_give_the_predictions_of_json(client: TestClient, models: dict[str, Exported], content: bytes) -> None:
    headers = {"content-type": NPY if content.startswith(b"\x93NUMPY") else "application/octet-stream"}
    params: dict[str, Any] = {"model": "image:1", "top_k": 2, "probabilities": True}
    for _ in range(2):
        answer = client.post("/predict", params=params, content=content, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json() == predicted(client, "image", IMAGES.tolist(), top_k=2, probabilities=True)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "application/octet-stream"),
        (IMAGES.tobytes()[:-1], "application/octet-stream"),
        (b"", NPY),
        (b"\x93NUMPY", NPY),
        (b"\x93NUMPY\x01\x00\xff\xff{", NPY),
        (npy(IMAGES)[:-1], NPY),
        (npy(IMAGES).replace(b"(3, 16, 16, 3)", b"(3, 16,-16, 3)"), NPY),
        (npy(IMAGES).replace(b"(3, 16, 16, 3)", b"(99999999999,)"), NPY),
        (npy(IMAGES.astype(np.float32)), NPY),
        (npy(IMAGES[:, :8]), NPY),
        (npy(np.array(3, np.uint8)), NPY),
        (npy(np.array([{}]), allow_pickle=True), NPY),
    ],
)
def test_array_of_another_shape_or_type_is_rejected(
    client: TestClient, models: dict[str, Exported], content: bytes, kind: str
) -> None:
    for _ in range(2):
        answer = client.post("/predict", params={"model": "image"}, content=content, headers={"content-type": kind})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_inputs"), answer.text
        predicted(client, "image", IMAGES.tolist())  # from here on its version is loaded


def test_array_for_a_network_with_several_inputs_is_rejected(client: TestClient, models: dict[str, Exported]) -> None:
    answer = client.post("/predict", params={"model": "text"}, content=b"x", headers={"content-type": "application/octet-stream"})
    assert (answer.status_code, "send JSON" in answer.json()["detail"]) == (422, True)


def test_response_can_be_an_arrow_table(client: TestClient, models: dict[str, Exported]) -> None:
    body = {"model": "image", "inputs": IMAGES.tolist(), "probabilities": True}
    expected = predicted(client, **body)
    answer = client.post("/predict", json=body, headers={"accept": ARROW})

    assert answer.headers["content-type"] == ARROW
    assert (answer.headers["x-model"], answer.headers["x-model-version"]) == ("image", "1")
    table = pl.read_ipc_stream(io.BytesIO(answer.content))
    rows = [prediction | {"probabilities": list(prediction["probabilities"].values())} for prediction in expected["predictions"]]
    assert table.to_dicts() == rows


def npy_with_header(dtype: str, shape: str, data: bytes = b"") -> bytes:
    """Return a `.npy` file whose header is this text."""
    header = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize("shape", ["()", "(0,)", "(3, 16, 16, 3)", "(True, 16, 16, 3)", f"({'1,' * 70})", f"({'0,' * 70})"])
@pytest.mark.parametrize(
    "dtype", ["'|S0'", "'<U0'", "'|V0'", "'|u1'", "('|u1', (2,))", "[('a', '|u1')]", "[]", "'|O'", "'<M8[s]'"]
)
def test_npy_with_an_odd_header_is_a_clients_error(
    client: TestClient, models: dict[str, Exported], dtype: str, shape: str
) -> None:
    for data in (b"", bytes(768), bytes(768 * 3)):
        body = npy_with_header(dtype, shape, data)
        response = client.post("/predict", params={"model": "image"}, content=body, headers={"content-type": NPY})
        is_valid = dtype == "'|u1'" and (shape, len(data)) == ("(3, 16, 16, 3)", 768 * 3)
        assert response.status_code == (200 if is_valid else 422), response.text
