"""The Open Inference Protocol works with its public client, and every error names its position."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from fastapi.testclient import TestClient
from tritonclient.utils import InferenceServerException

from app.settings import Settings
from tests.support.factories import image_bytes, make_image
from tests.support.live_server import address, live
from tests.support.published_models import CLASSES, EXAMPLES, Exported

pytestmark = [
    pytest.mark.parametrize("engine", ["sqlite"], indirect=True),
    pytest.mark.parametrize("fast_path", ["on", "off"]),
]

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
INFER = "/v2/models/image/infer"


@pytest.fixture
def server(client: TestClient, models: dict[str, Exported]) -> Iterator[str]:
    """Serve the app on a real socket."""
    with live(client) as server:
        yield "{}:{}".format(*address(server))


@pytest.fixture
def protocol(server: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server) as protocol:
        yield protocol


def tensor(name: str, values: Any, datatype: str, binary: bool) -> triton.InferInput:
    made = triton.InferInput(name, values.shape, datatype)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def test_triton_client_lists_the_models(protocol: triton.InferenceServerClient) -> None:
    assert protocol.is_server_live()
    assert protocol.get_server_metadata()["name"] == "isthmus"
    assert "binary_tensor_data" in protocol.get_server_metadata()["extensions"]
    assert protocol.is_model_ready("image")
    assert protocol.is_model_ready("image", "1")
    assert not protocol.is_model_ready("image", "2")
    assert not protocol.is_model_ready("nothing")
    index = protocol.get_model_repository_index()
    assert sorted((entry["name"], entry["version"], entry["state"]) for entry in index) == [
        ("image", "1", "READY"),
        ("tabular", "1", "READY"),
        ("text", "1", "READY"),
    ]


def test_config_and_statistics_follow_tritons_extensions(protocol: triton.InferenceServerClient) -> None:
    config = protocol.get_model_config("image")
    metadata = protocol.get_model_metadata("image")
    assert [one["name"] for one in config["input"]] == [one["name"] for one in metadata["inputs"]]
    assert config["output"][0]["data_type"] == f"TYPE_{metadata['outputs'][0]['datatype']}"
    assert config["output"][0]["dims"] == metadata["outputs"][0]["shape"][1:]
    statistics = protocol.get_inference_statistics("image", "1")["model_stats"][0]
    assert (statistics["name"], statistics["version"]) == ("image", "1")
    assert statistics["inference_count"] >= statistics["execution_count"]


def test_metadata_has_names_types_and_shapes(protocol: triton.InferenceServerClient) -> None:
    inputs = {name: protocol.get_model_metadata(name)["inputs"] for name in EXAMPLES}

    assert inputs == {
        "image": [{"name": "pixels", "datatype": "UINT8", "shape": [-1, 16, 16, 3]}],
        "tabular": [
            {"name": "numbers", "datatype": "FP32", "shape": [-1, 1]},
            {"name": "categories", "datatype": "INT64", "shape": [-1, 1]},
        ],
        "text": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
    }
    outputs = protocol.get_model_metadata("image", "1")["outputs"]
    assert [(output["name"], output["datatype"], output["shape"]) for output in outputs] == [
        ("logits", "FP32", [-1, 3]),
        ("probabilities", "FP32", [-1, 3]),
        ("label", "BYTES", [-1]),
        ("confidence", "FP32", [-1]),
        ("abstained", "BOOL", [-1]),
    ]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_images_give_the_predictions_of_the_network(
    protocol: triton.InferenceServerClient, models: dict[str, Exported], binary_in: bool, binary_out: bool
) -> None:
    names = ("logits", "probabilities", "label", "confidence", "abstained")
    outputs = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in names]
    answer = protocol.infer("image", [tensor("pixels", IMAGES, "UINT8", binary_in)], outputs=outputs, request_id="r-7")
    found = {name: answer.as_numpy(name) for name in names}
    expected = models["image"].probabilities(list(IMAGES))

    assert answer.get_response()["id"] == "r-7"
    assert (answer.get_response()["model_name"], answer.get_response()["model_version"]) == ("image", "1")
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)
    exponentials = np.exp(found["logits"])
    np.testing.assert_allclose(exponentials / exponentials.sum(axis=1, keepdims=True), expected, atol=1e-5)
    np.testing.assert_allclose(found["confidence"], expected.max(axis=1), atol=1e-5)
    labels = [label.decode() if isinstance(label, bytes) else label for label in found["label"]]
    assert labels == [CLASSES[number] for number in expected.argmax(axis=1)]
    assert found["abstained"].tolist() == [False] * 3


@pytest.mark.parametrize("binary", [True, False])
def test_rows_and_texts_give_the_predictions_of_the_network(
    protocol: triton.InferenceServerClient, models: dict[str, Exported], binary: bool
) -> None:
    encoded = models["tabular"].encode(EXAMPLES["tabular"])
    encoded["numbers"] = np.nan_to_num(encoded["numbers"])  # JSON has no NaN
    rows = [tensor("numbers", encoded["numbers"], "FP32", binary), tensor("categories", encoded["categories"], "INT64", binary)]
    shown = protocol.infer("tabular", rows, model_version="1").as_numpy("probabilities")
    np.testing.assert_allclose(shown, models["tabular"].probabilities(EXAMPLES["tabular"].fill_null(0)), atol=1e-5)

    texts = np.array(EXAMPLES["text"], object)
    shown = protocol.infer("text", [tensor("text", texts, "BYTES", binary)]).as_numpy("probabilities")
    np.testing.assert_allclose(shown, models["text"].probabilities(EXAMPLES["text"]), atol=1e-5)


def test_image_files_are_decoded(protocol: triton.InferenceServerClient, models: dict[str, Exported]) -> None:
    raw = [make_image(20, 14, seed=7), make_image(9, 9, seed=8)]
    files = np.array([image_bytes(pixels) for pixels in raw], object)
    shown = protocol.infer("image", [tensor("image", files, "BYTES", True)]).as_numpy("probabilities")
    np.testing.assert_allclose(shown, models["image"].probabilities(raw), atol=1e-5)


@pytest.mark.parametrize("binary", [True, False])
def test_top_classes_have_value_index_and_label(
    protocol: triton.InferenceServerClient, models: dict[str, Exported], binary: bool
) -> None:
    requested = [triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=2)]
    rows = protocol.infer("image", [tensor("pixels", IMAGES, "UINT8", True)], outputs=requested).as_numpy("probabilities")

    assert rows.shape == (3, 2)
    for row, expected in zip(rows, models["image"].probabilities(list(IMAGES)), strict=True):
        for entry, number in zip(row, np.argsort(-expected), strict=False):
            value, index, label = (entry.decode() if isinstance(entry, bytes) else entry).split(":")
            assert (int(index), label) == (number, CLASSES[number])
            assert float(value) == pytest.approx(expected[number], abs=1e-5)


def test_triton_client_reads_errors(protocol: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match=r"\[404\] There is no model version 'nothing'"):
        protocol.infer("nothing", [tensor("pixels", IMAGES, "UINT8", True)])
    with pytest.raises(InferenceServerException, match=r"\[422\] .*expected n x 16 x 16 x 3"):
        protocol.infer("image", [tensor("pixels", IMAGES[:, :8], "UINT8", True)])


def ask(**changes: Any) -> dict[str, Any]:
    """Return a valid request with changes of its only input."""
    return {"inputs": [{"name": "pixels", "shape": [1, 16, 16, 3], "datatype": "UINT8", "data": [0] * 768} | changes]}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/inputs"),
        ({"inputs": []}, "/inputs"),
        (ask(name="other"), "/inputs"),
        (ask(datatype="FP16"), "/inputs/0/datatype"),
        (ask(datatype="FP32"), "/inputs/0"),
        (ask(datatype="BYTES"), "/inputs/0/shape"),
        (ask(shape=[1, 16, 16]), "/inputs/0/data"),
        (ask(shape=[768]), "/inputs/0"),
        (ask(shape=[]), "/inputs/0/shape"),
        (ask(shape=[0, 16, 16, 3], data=[]), "/inputs/0/data"),
        (ask(shape=[-1, 16, 16, 3]), "/inputs/0/shape/0"),
        (ask(shape=[2**40, 2**40, 2**40, 3]), "/inputs/0/data"),
        (ask(data=[256] * 768), "/inputs/0/data"),
        (ask(data=[-1] * 768), "/inputs/0/data"),
        (ask(data=[0.5] * 768), "/inputs/0/data"),
        (ask(data=["1"] * 768), "/inputs/0/data"),
        (ask(data=[[0], [0, 0]]), "/inputs/0/data"),
        (ask(data=None), "/inputs/0/data"),
        (ask(parameters={"binary_data_size": 768}), "/inputs/0/data"),
        (ask(data=None, parameters={"binary_data_size": 768}), "/inputs/0/parameters/binary_data_size"),
        (ask(data=None, parameters={"binary_data_size": -1}), "/inputs/0/parameters/binary_data_size"),
        (ask() | {"outputs": [{"name": "nothing"}]}, "/outputs"),
        (ask() | {"outputs": [{"name": "label", "parameters": {"classification": 2}}]}, "/outputs"),
        ({"inputs": ask()["inputs"] * 2}, "/inputs/1/name"),
    ],
)
def test_invalid_tensor_is_named(client: TestClient, models: dict[str, Exported], body: dict[str, Any], pointer: str) -> None:
    answer = client.post(INFER, json=body)

    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert answer.json()["error"] == answer.json()["detail"]


@pytest.mark.parametrize("length", ["-1", "0", "99999999", "1e3", "", "nonsense", "7"])
def test_wrong_header_length_is_rejected(client: TestClient, models: dict[str, Exported], length: str) -> None:
    body = json.dumps(ask(data=None, parameters={"binary_data_size": 768})).encode()
    answer = client.post(INFER, content=body + bytes(768), headers={"Inference-Header-Content-Length": length})
    assert answer.status_code == 422, answer.text


def test_wrong_tensor_size_is_rejected(client: TestClient, models: dict[str, Exported]) -> None:
    body = json.dumps(ask(data=None, parameters={"binary_data_size": 768})).encode()
    headers = {"Inference-Header-Content-Length": str(len(body))}
    statuses = [client.post(INFER, content=body + bytes(size), headers=headers).status_code for size in (767, 768, 769)]
    assert statuses == [422, 200, 422]


def test_index_outside_the_embedding_is_rejected(client: TestClient, models: dict[str, Exported]) -> None:
    for level in (-(10**6), 10**6, 2**62):
        inputs = [
            {"name": "numbers", "shape": [1, 1], "datatype": "FP32", "data": [1]},
            {"name": "categories", "shape": [1, 1], "datatype": "INT64", "data": [level]},
        ]
        assert client.post("/v2/models/tabular/infer", json={"inputs": inputs}).status_code == 422


class TestWithASmallLimit:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"max_predict_bytes": 10_000, "max_predict_inputs": 2})

    def test_large_bodies_and_many_rows_are_rejected(self, client: TestClient, models: dict[str, Exported]) -> None:
        assert client.post(INFER, content=bytes(10_001)).status_code == 413
        rows = ask(shape=[3, 16, 16, 3], data=None, parameters={"binary_data_size": 3 * 768})
        head = json.dumps(rows).encode()
        answer = client.post(INFER, content=head + bytes(3 * 768), headers={"Inference-Header-Content-Length": str(len(head))})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_inputs")
