"""Bodies of prediction requests as other clients write them: compressed, with a byte order mark, in other protocols."""

import base64
import gzip
import json
import textwrap
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from fastapi.testclient import TestClient

from app.settings import Settings
from tests.support.factories import image_bytes
from tests.support.live_server import address, live
from tests.support.published_models import Exported

pytestmark = [
    pytest.mark.parametrize("engine", ["sqlite"], indirect=True),
    pytest.mark.parametrize("fast_path", ["on", "off"]),
]

MAX_BYTES = 200_000
ROWS: list[dict[str, Any]] = [{"age": 41.0, "sex": "m"}, {"age": None, "sex": None}]
BODY = json.dumps({"model": "tabular", "inputs": ROWS}).encode()
JSON = {"content-type": "application/json"}
IMAGE_FILE = image_bytes()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_predict_bytes": MAX_BYTES})


def post(client: TestClient, content: bytes, path: str = "/predict", **headers: str) -> Any:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(path, content=content, headers=JSON | given)


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


def of_members(content: bytes) -> bytes:
    """Return a gzip file of two members."""
    return gzip.compress(content[:7]) + gzip.compress(content[7:])


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("GZIP", of_members),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("identity", bytes),
    ],
)
def test_compressed_body_gives_the_predictions_of_the_uncompressed_one(
    client: TestClient, models: dict[str, Exported], coding: str, pack: Any
) -> None:
    expected = post(client, BODY)
    assert expected.status_code == 200, expected.text
    for _ in range(2):  # the second time the version is loaded
        answer = post(client, pack(BODY), content_encoding=coding)
        assert (answer.status_code, answer.content) == (200, expected.content)


def test_compressed_array_is_not_read_as_an_array(client: TestClient, models: dict[str, Exported]) -> None:
    array = bytes(range(256)) * 3
    headers = {"content-type": "application/octet-stream", "content-encoding": "deflate"}
    plain = headers | {"content-encoding": "identity"}
    expected = client.post("/predict?model=image", content=array, headers=plain)
    answer = client.post("/predict?model=image", content=raw_deflate(array), headers=headers)
    assert (answer.status_code, answer.content) == (200, expected.content)


def test_triton_client_may_compress_tensors(client: TestClient, models: dict[str, Exported]) -> None:
    tensor = triton.InferInput("pixels", [1, 16, 16, 3], "UINT8")
    tensor.set_data_from_numpy(np.zeros((1, 16, 16, 3), np.uint8), binary_data=True)
    with live(client) as server, triton.InferenceServerClient("{}:{}".format(*address(server))) as protocol:
        expected = protocol.infer("image", [tensor]).get_response()
        for algorithm in ("gzip", "deflate"):
            answer = protocol.infer("image", [tensor], request_compression_algorithm=algorithm)
            assert answer.get_response() == expected


def test_gzip_body_of_very_many_members_is_refused(client: TestClient, models: dict[str, Exported]) -> None:
    members = [gzip.compress(BODY), *[gzip.compress(b"")] * 2000]
    answer = post(client, b"".join(members), content_encoding="gzip")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/header/Content-Encoding")
    assert "more than 1000 members" in answer.json()["detail"]
    assert post(client, b"".join(members[:900]), content_encoding="gzip").status_code == 200


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "nonsense"])
def test_unknown_coding_is_refused_with_the_known_ones(client: TestClient, models: dict[str, Exported], coding: str) -> None:
    answer = post(client, BODY, content_encoding=coding)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_content_encoding")
    assert answer.headers["accept-encoding"] == "gzip, deflate, identity"


@pytest.mark.parametrize(
    "body",
    [gzip.compress(BODY)[:-9], gzip.compress(BODY) + b"rest", b"\x1f", BODY, gzip.compress(BODY)[:20] + bytes(20)],
    ids=["truncated", "with a rest", "one byte", "not compressed", "wrong data"],
)
def test_damaged_body_is_rejected(client: TestClient, models: dict[str, Exported], body: bytes) -> None:
    answer = post(client, body, content_encoding="gzip")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/header/Content-Encoding")


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=b"])
def test_bomb_is_refused(client: TestClient, models: dict[str, Exported], coding: str, kind: str) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    content = part + bytes(100 * 1024**2)
    bomb = gzip.compress(content) if coding == "gzip" else zlib.compress(content)
    assert len(bomb) < MAX_BYTES
    answer = post(client, bomb, content_encoding=coding, content_type=kind)
    assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict", {"model": "tabular", "inputs": ROWS}),
        ("/invocations?model=tabular", {"instances": ROWS}),
        ("/v1/models/tabular:predict", {"instances": ROWS}),
        (
            "/v2/models/image/infer",
            {"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 16, 16, 3], "data": [0] * 768}]},
        ),
    ],
)
def test_byte_order_mark_is_ignored(client: TestClient, models: dict[str, Exported], path: str, body: dict[str, Any]) -> None:
    content = json.dumps(body).encode()
    for _ in range(2):
        answer, expected = (post(client, given, path) for given in (b"\xef\xbb\xbf" + content, content))
        assert (answer.status_code, answer.content) == (200, expected.content)


def with_lines(text: str) -> str:
    return "\r\n".join(textwrap.wrap(text, 76))


@pytest.mark.parametrize(
    "text",
    [
        with_lines(base64.b64encode(IMAGE_FILE).decode()),
        base64.encodebytes(IMAGE_FILE).decode(),
        base64.urlsafe_b64encode(IMAGE_FILE).decode(),
        base64.urlsafe_b64encode(IMAGE_FILE).decode().rstrip("="),
        "data:image/png;base64," + with_lines(base64.b64encode(IMAGE_FILE).decode()),
        {"b64": base64.b64encode(IMAGE_FILE).decode()},
    ],
)
def test_every_spelling_of_base64_is_the_same_image(client: TestClient, models: dict[str, Exported], text: Any) -> None:
    plain = base64.b64encode(IMAGE_FILE).decode()
    answers = [client.post("/predict", json={"model": "image", "inputs": [given]}) for given in (plain, text)]
    assert [answer.status_code for answer in answers] == [200, 200], answers[1].text
    assert answers[1].content == answers[0].content


def test_shared_case_with_line_breaks(client: TestClient, models: dict[str, Exported], shared_cases: Path) -> None:
    question = json.loads((shared_cases / "predict-base64-lines" / "question.json").read_bytes())
    answer = client.post("/predict", json=question | {"model": "image"})
    assert answer.status_code == 200, answer.text


def test_kserve_v1_gives_the_predictions_of_predict(client: TestClient, models: dict[str, Exported]) -> None:
    expected = post(client, BODY).json()
    for reference in ("tabular", "tabular:1"):
        answer = client.post(f"/v1/models/{reference}:predict", json={"instances": ROWS, "signature_name": "default"})
        assert (answer.status_code, answer.json()) == (200, expected)
    assert client.post("/v1/models/nothing:predict", json={"instances": ROWS}).status_code == 404
    assert client.post("/v1/models/tabular:predict", json={"instances": []}).status_code == 422


def test_ping_of_mlflow_responds(client: TestClient) -> None:
    assert client.get("/ping").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"age,sex\n41,m\n,\n",
        b"\xef\xbb\xbfsex,age\r\nm,41.0\r\n\r\n,NaN",
        b'"age","sex"\n"41","m"\n"",""\n',
    ],
)
def test_csv_gives_the_predictions_of_predict(client: TestClient, models: dict[str, Exported], body: bytes) -> None:
    answer = client.post("/invocations?model=tabular", content=body, headers={"content-type": "text/csv; charset=utf-8"})
    assert (answer.status_code, answer.json()) == (200, post(client, BODY).json())


def test_csv_of_texts_gives_the_predictions_of_predict(client: TestClient, models: dict[str, Exported]) -> None:
    answer = client.post("/invocations?model=text", content=b'text\n"fine, dull"\nfine\n', headers={"content-type": "text/csv"})
    expected = client.post("/predict", json={"model": "text", "inputs": ["fine, dull", "fine"]})
    assert (answer.status_code, answer.json()) == (200, expected.json())


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"", ""),
        (b"age,sex\n", ""),
        (b"age,age\n1,2\n", ""),
        (b"age,sex\n1\n", "/inputs/0"),
        (b"age,sex\nold,m\n", "/inputs/0/age"),
        (b"age\n1\n", "/inputs/0/sex"),
        (b'age,sex\n"1,m\n', ""),
        (b"age,sex\n1,\xff\n", ""),
    ],
)
def test_invalid_csv_is_rejected_with_its_position(
    client: TestClient, models: dict[str, Exported], body: bytes, pointer: str
) -> None:
    answer = client.post("/invocations?model=tabular", content=body, headers={"content-type": "text/csv"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), answer.text


UNKNOWN: list[dict[str, Any]] = [{"age": 1, "sex": "m"}, {"age": 1, "sex": "x"}, {"age": 1, "sex": None}, {"age": 1, "sex": "y"}]
PATHS: dict[str, dict[str, Any]] = {
    "/predict": {"model": "tabular", "inputs": UNKNOWN},
    "/invocations?model=tabular": {"dataframe_records": UNKNOWN},
    "/v1/models/tabular:predict": {"instances": UNKNOWN},
}


@pytest.mark.parametrize("path", PATHS)
def test_unknown_levels_are_reported(client: TestClient, models: dict[str, Exported], path: str) -> None:
    for _ in range(2):
        answer = client.post(path, json=PATHS[path])
        assert answer.status_code == 200, answer.text
        (warning,) = answer.json()["warnings"]
        assert (warning["code"], warning["location"], warning["examples"]) == ("unknown_level", "/inputs/1/sex", ["x", "y"])
        assert "'sex'" in warning["message"]
        assert "2 of 4 inputs" in warning["message"]
        assert len(answer.json()["predictions"]) == 4


@pytest.mark.parametrize("path", PATHS)
def test_unknown_levels_are_rejected_if_strict(client: TestClient, models: dict[str, Exported], path: str) -> None:
    strict: dict[str, Any] = {"params": {"strict": True}} if path.startswith("/invocations") else {"strict": True}
    answer = client.post(path, json=PATHS[path] | strict)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_inputs")
    assert answer.json()["errors"][0]["pointer"] == "/inputs/1/sex"


def test_known_levels_cause_no_warning(client: TestClient, models: dict[str, Exported]) -> None:
    for strict in ({}, {"strict": True}):
        answer = client.post("/predict", json={"model": "tabular", "inputs": ROWS} | strict)
        assert answer.status_code == 200, answer.text
        assert "warnings" not in answer.json()


def test_arrow_response_names_the_warnings_in_a_header(client: TestClient, models: dict[str, Exported]) -> None:
    answer = client.post("/predict", json=PATHS["/predict"], headers={"accept": "application/vnd.apache.arrow.stream"})
    assert (answer.status_code, answer.headers["x-warnings"]) == (200, "unknown_level")


NUMBERS = {"name": "numbers", "datatype": "FP32", "shape": [1, 1], "data": [41.0]}
ELEMENTS = {"name": "pixels", "datatype": "BYTES", "shape": [1], "data": ["x"]}
CATEGORIES = {"name": "categories", "datatype": "INT64", "shape": [1, 1], "data": [1]}


@pytest.mark.parametrize(
    ("model", "inputs", "pointer", "message"),
    [
        ("tabular", [NUMBERS | {"shape": [1]}, CATEGORIES], "/inputs/0", "the first axis counts the inputs"),
        ("tabular", [NUMBERS, CATEGORIES | {"data": [99]}], "/inputs/1", "row 0, column 0: 99 is not a code from 0 to 2"),
        ("tabular", [NUMBERS, CATEGORIES | {"data": [-1]}], "/inputs/1", "row 0, column 0: -1 is not a code from 0 to 2"),
        ("tabular", [NUMBERS, CATEGORIES | {"data": [None]}], "/inputs/1/data", "value 0 is null, expected INT64"),
        ("tabular", [NUMBERS | {"data": ["old"]}, CATEGORIES], "/inputs/0/data", "value 0 is 'old', expected FP32"),
        ("tabular", [NUMBERS | {"data": [1, 2]}, CATEGORIES], "/inputs/0/data", "1 values, but 2 are given"),
        ("tabular", [NUMBERS], "/inputs", "expected the inputs numbers, categories, not numbers"),
        (
            "image",
            [ELEMENTS],
            "/inputs/0/datatype",
            "input image of BYTES",
        ),
        ("text", [ELEMENTS | {"name": "inputs"}], "/inputs/0/name", "input text of BYTES"),
    ],
)
def test_invalid_tensor_is_named_with_its_position(
    client: TestClient, models: dict[str, Exported], model: str, inputs: list[Any], pointer: str, message: str
) -> None:
    for _ in range(2):
        answer = client.post(f"/v2/models/{model}/infer", json={"inputs": inputs})
        assert answer.status_code == 422, answer.text
        (error,) = answer.json()["errors"]
        assert (error["pointer"], message in error["detail"]) == (pointer, True), error


def test_null_is_a_missing_number(client: TestClient, models: dict[str, Exported]) -> None:
    tensors = [NUMBERS | {"shape": [2, 1], "data": [41, None]}, CATEGORIES | {"shape": [2, 1], "data": [2, 0]}]
    expected = post(client, BODY).json()["predictions"]
    answer = client.post("/v2/models/tabular/infer", json={"inputs": tensors, "outputs": [{"name": "label"}]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0]["data"] == [prediction["label"] for prediction in expected]
