"""Predictions over HTTP equal those of the network; invalid requests are rejected with the position of the error."""

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy.orm import Session

from app.services import models
from app.settings import Settings
from app.storage import Storage
from tests.support.factories import image_bytes, make_image
from tests.support.published_models import CLASSES, Exported, store_version

# the queries are tested on both databases in test_models
pytestmark = [
    pytest.mark.parametrize("engine", ["sqlite"], indirect=True),
    pytest.mark.parametrize("fast_path", ["on", "off"]),
]


@pytest.fixture
def image(session: Session, storage: Storage, networks: dict[str, Exported]) -> Exported:
    store_version(session, storage, networks["image"], "image")
    return networks["image"]


@pytest.fixture
def tabular(session: Session, storage: Storage, networks: dict[str, Exported]) -> Exported:
    store_version(session, storage, networks["tabular"], "tabular")
    return networks["tabular"]


@pytest.fixture
def text(session: Session, storage: Storage, networks: dict[str, Exported]) -> Exported:
    store_version(session, storage, networks["text"], "text")
    return networks["text"]


def predict(client: TestClient, model: str, inputs: list[Any], **more: Any) -> list[dict[str, Any]]:
    answer = client.post("/predict", json={"model": model, "inputs": inputs, **more})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["model"], answer.json()["version"]) == (model, 1)
    predictions: list[dict[str, Any]] = answer.json()["predictions"]
    return predictions


def check(predictions: list[dict[str, Any]], exported: Exported, raw: Any) -> None:
    """Every class's probability is the network's, most probable first."""
    expected = exported.probabilities(raw)
    assert len(predictions) == len(expected)
    for prediction, row in zip(predictions, expected, strict=True):
        assert [entry["label"] for entry in prediction["top"]] == [CLASSES[number] for number in np.argsort(-row)]
        assert [entry["probability"] for entry in prediction["top"]] == pytest.approx(sorted(row, reverse=True), abs=1e-5)
        assert prediction["label"] == prediction["top"][0]["label"]
        assert prediction["confidence"] == prediction["top"][0]["probability"]


def test_every_image_format_gives_the_predictions_of_the_network(client: TestClient, image: Exported) -> None:
    raw = [make_image(20, 14, seed=7), make_image(9, 9, seed=8)]
    files = [image_bytes(pixels) for pixels in raw]

    as_lists = predict(client, "image", [pixels.tolist() for pixels in raw])
    as_base64 = predict(client, "image", [base64.b64encode(file).decode() for file in files])
    parts = [("files", (f"{number}.png", io.BytesIO(file))) for number, file in enumerate(files)]
    as_files = client.post("/predict", data={"model": "image", "top_k": "3"}, files=parts)

    check(as_lists, image, raw)
    assert as_base64 == as_lists
    assert as_files.status_code == 200, as_files.text
    assert as_files.json()["predictions"] == as_lists


def test_every_row_format_gives_the_predictions_of_the_network(client: TestClient, tabular: Exported) -> None:
    raw = pl.DataFrame({"age": [41.0, None, 77.5], "sex": ["m", None, "unseen"]})

    as_objects = predict(client, "tabular", raw.to_dicts())
    as_arrays = predict(client, "tabular", [list(row) for row in raw.rows()])

    check(as_objects, tabular, raw)
    assert as_arrays == as_objects


def test_predictions_of_texts_do_not_depend_on_the_batch(client: TestClient, text: Exported) -> None:
    raw = ["a fine waste of money", "", "unheard", "a very long text " * 50]

    together = predict(client, "text", raw)

    check(together, text, raw)
    check([predict(client, "text", [each])[0] for each in raw], text, raw)


def test_many_inputs_are_predicted_in_order(client: TestClient, tabular: Exported) -> None:
    ages = np.random.default_rng(0).uniform(20, 80, 200)
    raw = pl.DataFrame({"age": ages, "sex": ["f", "m"] * 100})

    check(predict(client, "tabular", [list(row) for row in raw.rows()]), tabular, raw)


def test_top_k_bounds_the_list_of_classes(client: TestClient, text: Exported) -> None:
    lengths = [len(predict(client, "text", ["fine"], top_k=k)[0]["top"]) for k in (1, 2, 3, 100)]

    assert lengths == [1, 2, 3, 3]


def test_next_prediction_uses_a_moved_alias_and_new_version(
    client: TestClient, session: Session, storage: Storage, networks: dict[str, Exported]
) -> None:
    def version_of(reference: str) -> int:
        answer = client.post("/predict", json={"model": reference, "inputs": ["fine"]})
        number: int = answer.json()["version"]
        return number

    store_version(session, storage, networks["text"], "text")
    client.put("/models/text/aliases/production", json={"version": 1})
    assert (version_of("text"), version_of("text@production")) == (1, 1)
    store_version(session, storage, networks["text"], "text")
    assert (version_of("text"), version_of("text@production"), version_of("text:2")) == (1, 1, 2)
    client.put("/models/text/aliases/production", json={"version": 2})
    assert (version_of("text"), version_of("text@production")) == (2, 2)
    store_version(session, storage, networks["text"], "text")
    client.delete("/models/text/aliases/production")
    assert version_of("text") == 3


def problem(client: TestClient, status: int, **request: Any) -> dict[str, Any]:
    answer = client.post("/predict", **request)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    return document


@pytest.mark.parametrize(
    ("model", "inputs", "pointer"),
    [
        ("tabular", [[1, "f"], {"age": "old", "sex": "f"}], "/inputs/1/age"),
        ("tabular", [{"age": 1}], "/inputs/0/sex"),
        ("tabular", [{"age": 1, "sex": "f", "shoe": 3}], "/inputs/0/shoe"),
        ("tabular", [[1]], "/inputs/0"),
        ("tabular", [[1, "f"], "text"], "/inputs/1"),
        ("tabular", [[10**400, "f"]], "/inputs/0/0"),
        ("tabular", [[1e300, "f"]], "/inputs/0/0"),
        ("tabular", [[1, {"deep": []}]], "/inputs/0/1"),
        ("text", ["fine", 3], "/inputs/1"),
        ("text", [None], "/inputs/0"),
        ("text", [["fine"]], "/inputs/0"),
        ("image", [[[0, 256]]], "/inputs/0"),
        ("image", [[[0, 1], [2]]], "/inputs/0"),
        ("image", [[[0.5, 1.5]]], "/inputs/0"),
        ("image", [[[10**400]]], "/inputs/0"),
        ("image", [[]], "/inputs/0"),
        ("image", [[[[[1]]]]], "/inputs/0"),
        ("image", [3], "/inputs/0"),
        ("image", ["not base64"], "/inputs/0"),
        ("image", [[[1, 2]], base64.b64encode(b"not an image").decode()], "/inputs/1"),
        ("image", [base64.b64encode(image_bytes()[:60]).decode()], "/inputs/0"),
    ],
)
@pytest.mark.usefixtures("image", "tabular", "text")
def test_invalid_input_is_named(client: TestClient, model: str, inputs: list[Any], pointer: str) -> None:
    document = problem(client, 422, json={"model": model, "inputs": inputs})

    assert document["code"] == "invalid_inputs"
    assert pointer in [error["pointer"] for error in document["errors"]]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ("", ""),
        ("{", ""),
        ("[]", ""),
        ("\xff", ""),
        ('{"model": "text", "inputs": ["\\ud800"]}', ""),
        ("[" * 100_000, ""),
        ('{"inputs": ["fine"]}', "/model"),
        ('{"model": 3, "inputs": ["fine"]}', "/model"),
        ('{"model": "text"}', "/inputs"),
        ('{"model": "text", "inputs": []}', "/inputs"),
        ('{"model": "text", "inputs": "fine"}', "/inputs"),
        ('{"model": "text", "inputs": ["fine"], "top_k": 0}', "/top_k"),
        ('{"model": "text", "inputs": ["fine"], "topk": 1}', "/topk"),
        ('{"model": "tabular", "inputs": [[NaN, "f"]]}', "/inputs/0/0"),
        ('{"model": "tabular", "inputs": [[-Infinity, "f"]]}', "/inputs/0/0"),
    ],
)
def test_invalid_body_is_rejected_with_its_pointer(
    client: TestClient, tabular: Exported, text: Exported, body: str, pointer: str
) -> None:
    document = problem(client, 422, content=body.encode("latin-1"), headers={"content-type": "application/json"})

    assert pointer in [error["pointer"] for error in document["errors"]]


@pytest.mark.parametrize("model", ["nothing", "text:2", "text@production", "text:", "\x00"])
def test_unknown_model_is_not_found(client: TestClient, text: Exported, model: str) -> None:
    assert problem(client, 404, json={"model": model, "inputs": ["fine"]})["code"] == "model_not_found"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
def test_other_content_type_is_rejected(client: TestClient, text: Exported, content_type: str) -> None:
    body = json.dumps({"model": "text", "inputs": ["fine"]})
    document = problem(client, 415, content=body, headers={"content-type": content_type})

    assert document["code"] == "unsupported_content_type"


def test_files_for_a_text_model_are_rejected(client: TestClient, text: Exported) -> None:
    document = problem(client, 422, data={"model": "text"}, files={"files": io.BytesIO(b"fine")})

    assert document["code"] == "invalid_inputs"


@pytest.mark.parametrize(
    ("data", "files", "pointer"),
    [
        ({"model": "image"}, [("files", image_bytes()), ("files", b"not an image")], "/files/1"),
        ({"model": "image"}, [("files", b"")], "/files/0"),
        ({}, [("files", image_bytes())], "/model"),
        ({"model": "image", "top_k": "many"}, [("files", image_bytes())], "/top_k"),
        ({"model": "image", "extra": "1"}, [("files", image_bytes())], "/extra"),
        ({"model": "image"}, [("images", image_bytes())], "/images"),
        ({"model": "image"}, [("model", image_bytes())], "/model"),
    ],
)
def test_invalid_form_is_rejected_with_its_pointer(
    client: TestClient, image: Exported, data: dict[str, str], files: list[tuple[str, bytes]], pointer: str
) -> None:
    parts = [(name, ("p.png", io.BytesIO(content))) for name, content in files]
    document = problem(client, 422, data=data, files=parts)

    assert pointer in [error["pointer"] for error in document["errors"]]


def test_files_for_a_table_are_rejected(client: TestClient, tabular: Exported) -> None:
    document = problem(client, 422, data={"model": "tabular"}, files=[("files", ("t.csv", io.BytesIO(b"1,2")))])
    assert [error["pointer"] for error in document["errors"]] == ["/files"]
    assert "send JSON" in document["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"no boundary here"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nimage'),
        ("multipart/form-data; boundary=b", b""),
        (
            "multipart/form-data; boundary=b; charset=nonsense",
            b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nx\r\n--b--\r\n',
        ),
    ],
)
def test_malformed_form_is_rejected(client: TestClient, image: Exported, content_type: str, body: bytes) -> None:
    problem(client, 422, content=body, headers={"content-type": content_type})


def test_huge_image_is_rejected_before_decoding(client: TestClient, image: Exported) -> None:
    buffer = io.BytesIO()
    Image.new("1", (8_000, 8_000)).save(buffer, "PNG")

    document = problem(client, 422, json={"model": "image", "inputs": [base64.b64encode(buffer.getvalue()).decode()]})

    assert "pixels" in document["errors"][0]["detail"]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_predict_inputs": 300, "max_predict_bytes": 200_000})


def test_too_many_inputs_are_rejected(client: TestClient, text: Exported, image: Exported) -> None:
    document = problem(client, 422, json={"model": "text", "inputs": ["fine"] * 301})
    assert document["errors"][0]["pointer"] == "/inputs"
    files = [("files", io.BytesIO(b"x"))] * 301
    problem(client, 422, data={"model": "image"}, files=files)


def test_body_over_the_limit_is_rejected_while_it_arrives(client: TestClient, text: Exported) -> None:
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 10_000
            yield b"x" * 10_000

    for content_type in ("application/json", "multipart/form-data; boundary=b"):
        document = problem(client, 413, content=chunks(), headers={"content-type": content_type})
        assert document["code"] == "upload_too_large"


def test_missing_or_changed_file_is_reported_as_corrupt(
    client: TestClient, session: Session, storage: Storage, text: Exported
) -> None:
    version = models.resolve(session, "text")
    key = next(file.storage_key for file in version.artifacts if file.name == "model.onnx")
    with storage.local(key) as path:
        content = path.read_bytes()
        path.write_bytes(content[:-1] + b"x")
    assert problem(client, 500, json={"model": "text", "inputs": ["fine"]})["code"] == "artifact_corrupt"
    storage.delete(key)
    assert problem(client, 500, json={"model": "text", "inputs": ["fine"]})["code"] == "artifact_corrupt"
    path.write_bytes(content)
    assert len(predict(client, "text", ["fine"])) == 1
