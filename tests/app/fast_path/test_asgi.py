"""The fast path gives the same responses and counts as the routes, and declines every request it cannot parse."""

import asyncio
import base64
import gc
import io
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy.orm import Session
from starlette.types import Message

from app.auth.caller_limits import CallerLimits, LimitsPerKey
from app.errors import Overloaded
from app.fast_path.asgi import FastPath
from app.modalities.base import Encoded
from app.model_reference import DEFAULT_PROJECT
from app.serving.admission_control import EventLoopAdmission
from app.serving.loaded_model import LoadedModel
from app.serving.predictor import Predictor
from app.settings import Settings
from app.storage import Storage
from tests.support.fast_path import DECLINED, app_of, isolate_fast_path
from tests.support.metrics_scrape import key, scrape
from tests.support.published_models import EXAMPLES, Exported, store_version

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
INPUTS: dict[str, list[list[Any]]] = {
    "image": [IMAGES.tolist(), IMAGES[:1].tolist(), np.zeros((2, 16, 16, 3), int).tolist()],
    "tabular": [
        [[30, "f"], [None, "m"], [51.5, None]],
        [{"age": 30, "sex": "f"}],
        [{"sex": "m", "age": None}, [1, "f"]],
    ],
    "text": [EXAMPLES["text"], ["fine"]],
}


@pytest.fixture
def loaded(client: TestClient, models: dict[str, Exported]) -> TestClient:
    for name, inputs in INPUTS.items():
        assert client.post("/predict", json={"model": name, "inputs": inputs[0]}).status_code == 200
    return client


@pytest.fixture
def isolated(loaded: TestClient) -> TestClient:
    """Client of the fast path without FastAPI behind it."""
    isolate_fast_path(loaded)
    return loaded


def post_to_routes(client: TestClient, path: str = "/predict", **request: Any) -> Any:
    """Return the response of the routes."""
    return TestClient(app_of(client).call_fastapi).post(path, **request)


def are_equal(one: Any, other: Any) -> bool:
    assert (one.status_code, other.status_code) == (200, 200), (one.text, other.text)
    assert one.headers["content-type"] == other.headers["content-type"]
    return bool(one.json() == other.json())


@pytest.mark.parametrize("more", [{}, {"top_k": 1}, {"top_k": 2, "probabilities": True}])
@pytest.mark.parametrize("model", list(INPUTS))
def test_fast_path_and_routes_give_the_same_predictions(isolated: TestClient, model: str, more: dict[str, Any]) -> None:
    for inputs in INPUTS[model]:
        body = {"model": model, "inputs": inputs, **more}
        assert are_equal(isolated.post("/predict", json=body), post_to_routes(isolated, json=body))


def test_parsed_request_takes_a_token_when_it_is_answered(loaded: TestClient) -> None:
    grant, fast_path = app_of(loaded).state.grants.get(None), app_of(loaded).front
    assert isinstance(fast_path, FastPath)
    grant.limits = CallerLimits(LimitsPerKey(requests_per_second=0.1))
    route = fast_path.match(b"/predict", {b"content-type": b"application/json"})
    assert route is not None
    assert route.parse is not None
    body = json.dumps({"model": "text", "inputs": ["fine"]}).encode()
    assert None not in [route.parse(body) for _ in range(2)]
    assert loaded.post("/predict", content=body, headers={"content-type": "application/json"}).status_code == 200
    assert route.parse(body) is None
    assert loaded.post("/predict", content=body, headers={"content-type": "application/json"}).status_code == 429


@pytest.mark.parametrize("through", ["fast path", "routes"])
def test_inputs_beyond_the_rate_delay_the_next_prediction(loaded: TestClient, through: str) -> None:
    app_of(loaded).state.grants.get(None).limits = CallerLimits(LimitsPerKey(inputs_per_second=0.05))
    post = loaded.post if through == "fast path" else partial(post_to_routes, loaded)
    answers = [post("/predict", json={"model": "text", "inputs": ["fine"] * count}) for count in (4, 1)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].json()["code"] == "rate_limited"
    assert 70 < int(answers[1].headers["Retry-After"]) <= 80
    assert answers[1].headers["RateLimit-Policy"] == '"inputs";q=1;w=10'


@pytest.mark.parametrize("level", ["unseen", "", " f ", None, 7])
def test_unknown_levels_give_the_predictions_and_warnings_of_the_routes(isolated: TestClient, level: object) -> None:
    body = {"model": "tabular", "inputs": [[1, "f"], [2, level]]}
    assert are_equal(isolated.post("/predict", json=body), post_to_routes(isolated, json=body))


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/json;charset=UTF-8"])
def test_parameters_of_the_content_type_are_ignored(isolated: TestClient, kind: str) -> None:
    body: dict[str, Any] = {"content": b'{"model": "text", "inputs": ["fine"]}', "headers": {"content-type": kind}}
    assert are_equal(isolated.post("/predict", **body), post_to_routes(isolated, **body))


TABLE = {"model": "tabular"}


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": [{"age": 1, "sex": "f"}, {"sex": "unseen", "age": None}]},
        {"dataframe_split": {"index": [0], "columns": ["sex", "age"], "data": [["f", 1]]}},
        {"inputs": [[1, "f"]]},
        {"instances": [{"age": 1, "sex": "m"}]},
    ],
    ids=lambda body: next(iter(body)),
)
def test_invocations_give_the_predictions_of_the_routes(isolated: TestClient, body: dict[str, Any]) -> None:
    expected = post_to_routes(isolated, "/invocations", params=TABLE, json=body)
    assert are_equal(isolated.post("/invocations", params=TABLE, json=body), expected)
    assert are_equal(isolated.post("/invocations", headers={"X-Model": "tabular"}, json=body), expected)


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": [[1, "f"]], "params": {"top_k": 1}},
        {"dataframe_records": [[1, "f"]]},
        {"dataframe_records": [{"age": 1}]},
        {"dataframe_split": {"columns": ["sex", "sex"], "data": [["f", "f"]]}},
        {"dataframe_split": {"columns": ["sex", "age"], "data": [["f"]]}},
        {"inputs": {"age": [1], "sex": ["f"]}},
        [],
    ],
)
def test_unusual_invocation_is_declined(isolated: TestClient, body: object) -> None:
    assert isolated.post("/invocations", params=TABLE, json=body).status_code == DECLINED


def image_file(side: int = 40, format: str = "JPEG", **more: Any) -> bytes:
    """Return a smooth colour image as a file."""
    row = np.linspace(0, 255, side)
    pixels = np.stack([np.add.outer(row, row) / 2, np.tile(row, (side, 1)), np.full((side, side), 90)], 2).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **more)
    return buffer.getvalue()


def base64_body(*files: bytes) -> dict[str, Any]:
    return {"model": "image", "inputs": [base64.b64encode(file).decode() for file in files]}


@pytest.mark.parametrize("file", [image_file(), image_file(format="PNG"), image_file(200), image_file(200, progressive=True)])
def test_small_files_give_the_predictions_of_the_routes(isolated: TestClient, file: bytes) -> None:
    body = base64_body(file, image_file())
    assert are_equal(isolated.post("/predict", json=body), post_to_routes(isolated, json=body))
    marked = {**body, "inputs": [{"b64": value} for value in body["inputs"]]}
    assert are_equal(isolated.post("/predict", json=marked), post_to_routes(isolated, json=body))
    form: dict[str, Any] = {"data": {"model": "image", "top_k": "2"}, "files": [("files", file), ("files", image_file())]}
    assert are_equal(isolated.post("/predict", **form), post_to_routes(isolated, **form))


@pytest.mark.parametrize(
    "file",
    [image_file(400, "PNG"), image_file(format="WEBP"), image_file() + 20 * b"\xff\xda", image_file(format="PNG") + b"zTXt"],
)
def test_files_that_may_take_long_are_declined(isolated: TestClient, file: bytes) -> None:
    assert isolated.post("/predict", json=base64_body(file)).status_code == DECLINED
    form: dict[str, Any] = {"data": {"model": "image"}, "files": [("files", file)]}
    assert isolated.post("/predict", **form).status_code == DECLINED
    assert post_to_routes(isolated, **form).status_code == 200


@pytest.mark.parametrize(
    "form",
    [
        {"data": {"model": "image", "strict": "true"}, "files": [("files", image_file())]},
        {"data": {"model": "image"}, "files": [("others", image_file())]},
        {"data": {"model": "image"}, "files": [("files", b"")]},
        {"data": {"model": "tabular"}, "files": [("files", image_file())]},
        {"data": {"model": ["image", "text"]}, "files": [("files", image_file())]},
        {"content": b"--x\r\nbroken", "headers": {"content-type": "multipart/form-data; boundary=x"}},
    ],
)
def test_unusual_form_is_declined(isolated: TestClient, form: dict[str, Any]) -> None:
    assert isolated.post("/predict", **form).status_code == DECLINED


def test_raw_bytes_give_the_predictions_of_json(isolated: TestClient) -> None:
    headers = {"content-type": "application/octet-stream"}
    as_json = isolated.post("/predict", json={"model": "image", "inputs": IMAGES.tolist(), "top_k": 2})
    in_query: dict[str, Any] = {"params": {"model": "image", "top_k": 2}, "content": IMAGES.tobytes(), "headers": headers}
    in_header: dict[str, Any] = {"params": {"top_k": 2}, "content": IMAGES.tobytes(), "headers": headers | {"X-Model": "image"}}

    for request in (in_query, in_header):
        assert are_equal(isolated.post("/predict", **request), as_json)
        assert are_equal(post_to_routes(isolated, **request), as_json)


INFER = "/v2/models/image/infer"
TENSOR = {"name": "pixels", "shape": [1, 16, 16, 3], "datatype": "UINT8"}
IN_JSON = TENSOR | {"data": IMAGES[0].ravel().tolist()}


def binary_request(**more: Any) -> dict[str, Any]:
    """Return a request whose tensor follows the JSON."""
    head = json.dumps({"inputs": [TENSOR | {"parameters": {"binary_data_size": IMAGES[0].nbytes}}], **more}).encode()
    return {"content": head + IMAGES[0].tobytes(), "headers": {"Inference-Header-Content-Length": str(len(head))}}


@pytest.mark.parametrize("path", [INFER, "/v2/models/image:1/infer", "/v2/models/image/versions/1/infer"])
@pytest.mark.parametrize("request_", [{"json": {"inputs": [IN_JSON], "id": "r-1"}}, binary_request()])
def test_tensors_give_the_predictions_of_the_routes(isolated: TestClient, path: str, request_: dict[str, Any]) -> None:
    expected = post_to_routes(isolated, path, **request_)  # first, because only the routes cache references
    assert are_equal(isolated.post(path, **request_), expected)


def test_output_tensors_follow_the_json(isolated: TestClient) -> None:
    request = binary_request(parameters={"binary_data_output": True})
    fast, expected = isolated.post(INFER, **request), post_to_routes(isolated, INFER, **request)
    assert (fast.status_code, fast.content) == (200, expected.content)
    for name in ("Content-Type", "Content-Length", "Inference-Header-Content-Length"):
        assert fast.headers[name] == expected.headers[name]


def test_invalid_tensors_give_the_problem_of_the_routes(isolated: TestClient) -> None:
    for request in (binary_request(outputs=[{"name": "nothing"}]), {"json": {"inputs": [IN_JSON | {"data": [300]}]}}):
        fast, expected = isolated.post(INFER, **request), post_to_routes(isolated, INFER, **request)
        assert (fast.status_code, fast.headers["content-type"]) == (422, "application/problem+json")
        assert fast.json() | {"request_id": ""} == expected.json() | {"request_id": ""}


@pytest.mark.parametrize(
    ("path", "request_"),
    [
        ("/v2/models/nothing/infer", binary_request()),
        ("/v2/models/image/versions/2/infer", binary_request()),
        ("/v2/models/image/versions/x/infer", binary_request()),
        (INFER, {"content": b"{"}),
        (INFER, {"json": {"inputs": []}}),
        (INFER, binary_request() | {"headers": {"Inference-Header-Content-Length": "0"}}),
        (INFER, binary_request() | {"headers": {"Inference-Header-Content-Length": "x"}}),
        (INFER, {"json": {"inputs": [TENSOR | {"datatype": "BYTES", "data": ["x"]}]}}),
        (INFER, {"json": {"inputs": [IN_JSON], "padding": "x" * 8192}}),
    ],
)
def test_unusual_tensors_are_declined(isolated: TestClient, path: str, request_: dict[str, Any]) -> None:
    assert isolated.post(path, **request_).status_code == DECLINED


@pytest.mark.parametrize(
    "body",
    [
        '{"model": "tabular", "inputs": [[1, "f"]], "more": 1}',
        '{"model": "tabular", "inputs": [[true, "f"]]}',
        '{"model": "tabular", "inputs": [["1", "f"]]}',
        '{"model": "tabular", "inputs": [[1e300, "f"]]}',
        '{"model": "tabular", "inputs": [[1, "f"]], "top_k": true}',
        '{"model": "tabular", "inputs": [[1, "f"]], "top_k": 0}',
        '{"model": "tabular", "inputs": []}',
        '{"model": "tabular", "inputs": [[1, "f"]], "inputs": 3}',
        '{"model": "tab[ular", "inputs": [[1, "f"]]}',
        '{"inputs": [], "model": "[[1, 2]]"}',
        '{"model": "nothing", "inputs": [[1, "f"]]}',
        '[{"model": "tabular", "inputs": [[1, "f"]]}]',
        '{"model": "text", "inputs": [["fine"]]}',
        '{"model": "image", "inputs": [[[0.5]]]}',
        '{"model": "image", "inputs": [[[true]]]}',
        '{"model": "image", "inputs": [[[300]]]}',
        '{"model": "image", "inputs": [[["3"]]]}',
        '{"model": "image", "inputs": ["3"]}',
        "{",
        "",
    ],
)
def test_unusual_json_body_is_declined(isolated: TestClient, body: str) -> None:
    response = isolated.post("/predict", content=body, headers={"content-type": "application/json"})
    assert response.status_code == DECLINED


@pytest.mark.parametrize(
    ("query", "kind"), [("top_k=abc", "application/json"), ("model=image&top_k=%D9%A3", "application/octet-stream")]
)
def test_unusual_query_is_declined(isolated: TestClient, query: str, kind: str) -> None:
    content = b'{"model": "text", "inputs": ["fine"]}' if kind == "application/json" else bytes(16 * 16 * 3)
    headers = {"content-type": kind}
    assert isolated.post(f"/predict?{query}", content=content, headers=headers).status_code == DECLINED
    assert post_to_routes(isolated, f"/predict?{query}", content=content, headers=headers).status_code == 422


def test_image_of_another_size_is_declined(isolated: TestClient, models: dict[str, Exported]) -> None:
    for shape in ((8, 8, 3), (16, 16), (16, 16, 1)):
        body = {"model": "image", "inputs": np.zeros((3, *shape), int).tolist()}
        assert isolated.post("/predict", json=body).status_code == DECLINED
        assert post_to_routes(isolated, json=body).status_code == 200


def test_predictions_are_counted_under_the_names_of_the_routes(loaded: TestClient) -> None:
    names = [
        key("isthmus_http_requests_total", method="POST", route="/predict", status="200"),
        key("isthmus_http_request_seconds_count", method="POST", route="/predict"),
        key("isthmus_prediction_seconds_count", modality="text"),
        key("isthmus_predicted_inputs_total", modality="text"),
    ]
    before = scrape(loaded)
    for _ in range(3):
        loaded.post("/predict", json={"model": "text", "inputs": ["fine", "dull"]})
    after = scrape(loaded)

    assert [after[name] - before[name] for name in names] == [3, 3, 3, 6]


def test_valid_request_id_is_echoed_and_others_are_replaced(isolated: TestClient) -> None:
    body = {"model": "text", "inputs": ["fine"]}
    assert isolated.post("/predict", json=body, headers={"X-Request-ID": "mine-1"}).headers["X-Request-ID"] == "mine-1"
    new_ids = {
        isolated.post("/predict", json=body, headers={"X-Request-ID": "two words"}).headers["X-Request-ID"] for _ in range(3)
    }
    assert [len(new_id) for new_id in new_ids] == [32] * 3


def test_unexpected_error_is_a_problem_without_its_message(isolated: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(version: LoadedModel, encoded: Encoded) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(LoadedModel, "logits", fail)
    response = isolated.post("/predict", json={"model": "text", "inputs": ["fine"]}, headers={"X-Request-ID": "r-1"})
    assert (response.status_code, response.json()["code"], response.json()["request_id"]) == (500, "service_error", "r-1")
    assert "hunter2" not in response.text


def test_version_abstains_below_its_threshold(
    client: TestClient, session: Session, storage: Storage, networks: dict[str, Exported], tmp_path: Path
) -> None:
    exported = networks["text"]
    confidence = exported.probabilities(["fine"]).max()
    for name, threshold in (("bold", confidence - 0.01), ("timid", confidence + 0.01)):
        changed = Exported(
            exported.network,
            exported.encode,
            exported.manifest.model_copy(update={"abstention_threshold": threshold}),
            exported.folder,
        )
        store_version(session, storage, changed, name)
    for _ in range(2):  # by the routes, then by the fast path
        flags = [
            client.post("/predict", json={"model": name, "inputs": ["fine"]}).json()["predictions"][0]["abstained"]
            for name in ("bold", "timid")
        ]
        assert flags == [False, True]


@pytest.fixture
def may_run(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Event that every model run waits for."""
    event, run = threading.Event(), LoadedModel.logits

    def wait(version: LoadedModel, encoded: Encoded) -> Any:
        assert event.wait(20)
        return run(version, encoded)

    monkeypatch.setattr(LoadedModel, "logits", wait)
    event.set()  # for the warm-up
    yield event
    event.set()


class TestWithAQueueOfOne:
    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        return Settings(
            data_dir=tmp_path / "data",
            predict_inline_max_us=0,
            predict_concurrency=1,
            predict_max_queue_size=1,
            predict_max_batch=1,
            _env_file=None,
        )

    def test_requests_beyond_the_queue_are_rejected_at_once(self, may_run: threading.Event, loaded: TestClient) -> None:
        may_run.clear()
        body = {"model": "text", "inputs": ["fine"]}
        with ThreadPoolExecutor(6) as pool:
            requests = [pool.submit(loaded.post, "/predict", json=body) for _ in range(6)]
            rejected = [request.result() for request in wait_for(requests, 4)]
            may_run.set()
            responses = [request.result() for request in requests]

        assert {response.status_code for response in rejected} == {503}
        assert {response.headers["retry-after"] for response in rejected} == {"1"}
        assert {response.json()["code"] for response in rejected} == {"overloaded"}
        assert sorted(response.status_code for response in responses) == [200, 200, 503, 503, 503, 503]
        assert loaded.post("/predict", json=body).status_code == 200

    def test_evicted_version_is_freed(self, loaded: TestClient) -> None:
        predictor: Predictor = loaded.app.state.predictor  # type: ignore[attr-defined]
        version = ref(predictor.get_loaded(DEFAULT_PROJECT, "text"))
        assert loaded.post("/predict", json={"model": "text", "inputs": ["fine"]}).status_code == 200
        predictor._cache._entries.clear()  # noqa: SLF001  # an eviction without filling the cache
        gc.collect()
        assert version() is None


def test_request_that_would_wait_too_long_is_rejected(isolated: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"model": "text", "inputs": ["fine"]}
    monkeypatch.setattr(EventLoopAdmission, "is_idle", lambda admission: False)
    monkeypatch.setattr(EventLoopAdmission, "acquire", reject)
    response = isolated.post("/predict", json=body)
    assert (response.status_code, response.headers["retry-after"], response.json()["code"]) == (503, "1", "overloaded")
    assert response.headers["content-type"] == "application/problem+json"

    monkeypatch.undo()
    assert isolated.post("/predict", json=body).status_code == 200


async def reject(admission: EventLoopAdmission) -> None:
    raise Overloaded


def test_tensors_are_counted_under_the_names_of_the_routes(loaded: TestClient) -> None:
    names = [
        key("isthmus_http_requests_total", method="POST", route="/v2/models/{model}/infer", status="200"),
        key("isthmus_http_request_seconds_count", method="POST", route="/v2/models/{model}/infer"),
        key("isthmus_predicted_inputs_total", modality="image"),
    ]
    post_to_routes(loaded, INFER, **binary_request())
    before = scrape(loaded)
    loaded.post(INFER, **binary_request())
    after = scrape(loaded)

    assert [after[name] - before[name] for name in names] == [1, 1, 1]


@pytest.mark.parametrize("content_type", ["application/json", "application/x-npy", "multipart/form-data; boundary=x"])
def test_disconnect_before_the_body_is_no_error(loaded: TestClient, content_type: str) -> None:
    sent: list[Message] = []
    messages = iter([{"type": "http.request", "body": b"--x", "more_body": True}])

    async def receive() -> Message:
        return next(messages, {"type": "http.disconnect"})

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/predict",
        "raw_path": b"/predict",
    }
    headers = [(b"host", b"localhost"), (b"content-type", content_type.encode()), (b"x-model", b"text")]
    asyncio.run(loaded.app(scope | {"query_string": b"", "headers": headers}, receive, send))  # type: ignore[arg-type]
    assert [message["status"] for message in sent if message["type"] == "http.response.start"] in ([], [499])


def wait_for(futures: list[Any], count: int) -> list[Any]:
    """Wait until `count` of the futures are done and return them."""
    done = threading.Semaphore(0)
    for future in futures:
        future.add_done_callback(lambda _: done.release())
    for _ in range(count):
        assert done.acquire(timeout=20)
    return [future for future in futures if future.done()]


def test_body_in_several_chunks_is_answered(loaded: TestClient) -> None:
    body = json.dumps({"model": "image", "inputs": IMAGES.tolist()}).encode()

    def chunks(content: bytes) -> Iterator[bytes]:
        yield from (content[start : start + 1000] for start in range(0, len(content), 1000))

    headers = {"content-type": "application/json"}
    assert loaded.post("/predict", content=chunks(body), headers=headers).status_code == 200


def test_body_beyond_the_limit_is_declined(loaded: TestClient) -> None:
    body = b'{"model": "text", "inputs": ["fine"]}'
    statuses = []
    for max_bytes in (len(body), len(body) - 1):
        isolate_fast_path(loaded, max_bytes)
        statuses.append(loaded.post("/predict", content=body, headers={"content-type": "application/json"}).status_code)
    assert statuses == [200, DECLINED]
