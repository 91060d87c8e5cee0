"""The short way past FastAPI: the same answers, the same counts, and nothing that it does not fully understand."""

import asyncio
import gc
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session
from starlette.types import Message, Receive, Scope, Send

from app.errors import Overloaded
from app.fast_path.asgi import IsthmusApp
from app.modalities.base import Encoded
from app.serving.admission_control import EventLoopAdmission
from app.serving.loaded_model import LoadedModel
from app.serving.predictor import Predictor
from app.settings import Settings
from app.storage import Storage
from tests.support.metrics_scrape import key, scrape
from tests.support.published_models import EXAMPLES, Exported, export_network, store_version

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

CLASSES = ["eight", "nine", "ten"]
PICTURES = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
INPUTS: dict[str, list[list[Any]]] = {
    "image": [PICTURES.tolist(), PICTURES[:1].tolist(), np.zeros((2, 16, 16, 3), int).tolist()],
    "tabular": [
        [[30, "f"], [None, "m"], [51.5, None]],
        [{"age": 30, "sex": "f"}],
        [{"sex": "m", "age": None}, [1, "f"]],
    ],
    "text": [EXAMPLES["text"], ["fine"]],
}


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    return {name: export_network(name, CLASSES, tmp_path_factory.mktemp(name)) for name in EXAMPLES}


@pytest.fixture
def models(session: Session, storage: Storage, networks: dict[str, Exported]) -> dict[str, Exported]:
    for name, exported in networks.items():
        store_version(session, storage, exported, name)
    return networks


@pytest.fixture
def loaded(client: TestClient, models: dict[str, Exported]) -> TestClient:
    for name, inputs in INPUTS.items():
        assert client.post("/predict", json={"model": name, "inputs": inputs[0]}).status_code == 200
    return client


@pytest.fixture
def alone(loaded: TestClient) -> TestClient:
    """What the short way does not answer is not answered at all."""

    async def teapot(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body"})

    app = loaded.app
    assert isinstance(app, IsthmusApp)
    app.hot._app = teapot
    return loaded


def slowly(client: TestClient, path: str = "/predict", **request: Any) -> Any:
    """The answer of the routes alone."""
    app = client.app
    assert isinstance(app, IsthmusApp)
    return TestClient(app.through_fastapi).post(path, **request)


def same(one: Any, other: Any) -> bool:
    assert (one.status_code, other.status_code) == (200, 200), (one.text, other.text)
    assert one.headers["content-type"] == other.headers["content-type"]
    return bool(one.json() == other.json())


@pytest.mark.parametrize("more", [{}, {"top_k": 1}, {"top_k": 2, "probabilities": True}])
@pytest.mark.parametrize("model", list(INPUTS))
def test_the_short_way_and_the_routes_give_the_same_answers(alone: TestClient, model: str, more: dict[str, Any]) -> None:
    for inputs in INPUTS[model]:
        body = {"model": model, "inputs": inputs, **more}
        assert same(alone.post("/predict", json=body), slowly(alone, json=body))


def test_raw_bytes_get_the_answers_of_json(alone: TestClient) -> None:
    headers = {"content-type": "application/octet-stream"}
    as_json = alone.post("/predict", json={"model": "image", "inputs": PICTURES.tolist(), "top_k": 2})
    in_query: dict[str, Any] = {"params": {"model": "image", "top_k": 2}, "content": PICTURES.tobytes(), "headers": headers}
    in_header: dict[str, Any] = {"params": {"top_k": 2}, "content": PICTURES.tobytes(), "headers": headers | {"X-Model": "image"}}

    for request in (in_query, in_header):
        assert same(alone.post("/predict", **request), as_json)
        assert same(slowly(alone, **request), as_json)


INFER = "/v2/models/image/infer"
TENSOR = {"name": "pixels", "shape": [1, 16, 16, 3], "datatype": "UINT8"}
IN_JSON = TENSOR | {"data": PICTURES[0].ravel().tolist()}


def behind_json(**more: Any) -> dict[str, Any]:
    """A request with its tensor behind the JSON."""
    head = json.dumps({"inputs": [TENSOR | {"parameters": {"binary_data_size": PICTURES[0].nbytes}}], **more}).encode()
    return {"content": head + PICTURES[0].tobytes(), "headers": {"Inference-Header-Content-Length": str(len(head))}}


@pytest.mark.parametrize("path", [INFER, "/v2/models/image:1/infer", "/v2/models/image/versions/1/infer"])
@pytest.mark.parametrize("request_", [{"json": {"inputs": [IN_JSON], "id": "r-1"}}, behind_json()])
def test_tensors_get_the_answers_of_the_routes(alone: TestClient, path: str, request_: dict[str, Any]) -> None:
    slow = slowly(alone, path, **request_)  # the first, since no reference is known before somebody asked for it
    assert same(alone.post(path, **request_), slow)


def test_tensors_come_back_behind_the_json(alone: TestClient) -> None:
    request = behind_json(parameters={"binary_data_output": True})
    quick, slow = alone.post(INFER, **request), slowly(alone, INFER, **request)
    assert (quick.status_code, quick.content) == (200, slow.content)
    for name in ("Content-Type", "Content-Length", "Inference-Header-Content-Length"):
        assert quick.headers[name] == slow.headers[name]


def test_a_mistake_in_tensors_is_told_as_by_the_routes(alone: TestClient) -> None:
    for request in (behind_json(outputs=[{"name": "nothing"}]), {"json": {"inputs": [IN_JSON | {"data": [300]}]}}):
        quick, slow = alone.post(INFER, **request), slowly(alone, INFER, **request)
        assert (quick.status_code, quick.headers["content-type"]) == (422, "application/problem+json")
        assert quick.json() | {"request_id": ""} == slow.json() | {"request_id": ""}


@pytest.mark.parametrize(
    ("path", "request_"),
    [
        ("/v2/models/nothing/infer", behind_json()),
        ("/v2/models/image/versions/2/infer", behind_json()),
        ("/v2/models/image/versions/x/infer", behind_json()),
        (INFER, {"content": b"{"}),
        (INFER, {"json": {"inputs": []}}),
        (INFER, behind_json() | {"headers": {"Inference-Header-Content-Length": "0"}}),
        (INFER, behind_json() | {"headers": {"Inference-Header-Content-Length": "x"}}),
        (INFER, {"json": {"inputs": [TENSOR | {"datatype": "BYTES", "data": ["x"]}]}}),
        (INFER, {"json": {"inputs": [IN_JSON], "padding": "x" * 8192}}),
    ],
)
def test_tensors_that_are_not_plain_are_handed_on(alone: TestClient, path: str, request_: dict[str, Any]) -> None:
    assert alone.post(path, **request_).status_code == 418


@pytest.mark.parametrize(
    "body",
    [
        '{"model": "tabular", "inputs": [[1, "f"]], "more": 1}',
        '{"model": "tabular", "inputs": [[true, "f"]]}',
        '{"model": "tabular", "inputs": [["1", "f"]]}',
        '{"model": "tabular", "inputs": [[1e300, "f"]]}',
        '{"model": "tabular", "inputs": [[1, "unseen"]]}',
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
def test_what_is_not_plain_is_handed_on(alone: TestClient, body: str) -> None:
    answer = alone.post("/predict", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 418


@pytest.mark.parametrize(
    ("query", "kind"), [("top_k=abc", "application/json"), ("model=image&top_k=%D9%A3", "application/octet-stream")]
)
def test_a_query_that_is_not_plain_is_handed_on(alone: TestClient, query: str, kind: str) -> None:
    content = b'{"model": "text", "inputs": ["fine"]}' if kind == "application/json" else bytes(16 * 16 * 3)
    headers = {"content-type": kind}
    assert alone.post(f"/predict?{query}", content=content, headers=headers).status_code == 418
    assert slowly(alone, f"/predict?{query}", content=content, headers=headers).status_code == 422


def test_a_picture_of_another_size_is_left_to_be_resized(alone: TestClient, models: dict[str, Exported]) -> None:
    for shape in ((8, 8, 3), (16, 16), (16, 16, 1)):
        body = {"model": "image", "inputs": np.zeros((3, *shape), int).tolist()}
        assert alone.post("/predict", json=body).status_code == 418
        assert slowly(alone, json=body).status_code == 200


def test_requests_are_counted_as_everywhere(loaded: TestClient) -> None:
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


def test_the_id_of_a_request_is_echoed_or_made(alone: TestClient) -> None:
    body = {"model": "text", "inputs": ["fine"]}
    assert alone.post("/predict", json=body, headers={"X-Request-ID": "mine-1"}).headers["X-Request-ID"] == "mine-1"
    made = {alone.post("/predict", json=body, headers={"X-Request-ID": "two words"}).headers["X-Request-ID"] for _ in range(3)}
    assert [len(each) for each in made] == [32] * 3


def test_an_unexpected_error_is_a_problem(alone: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(version: LoadedModel, encoded: Encoded) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(LoadedModel, "logits", broken)
    answer = alone.post("/predict", json={"model": "text", "inputs": ["fine"]}, headers={"X-Request-ID": "r-1"})
    assert (answer.status_code, answer.json()["code"], answer.json()["request_id"]) == (500, "service_error", "r-1")
    assert "hunter2" not in answer.text


def test_a_version_abstains_below_its_threshold(
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
    for _ in range(2):  # by the routes, then by the short way
        flags = [
            client.post("/predict", json={"model": name, "inputs": ["fine"]}).json()["predictions"][0]["abstained"]
            for name in ("bold", "timid")
        ]
        assert flags == [False, True]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Runs wait for this event."""
    go, run = threading.Event(), LoadedModel.logits

    def wait(version: LoadedModel, encoded: Encoded) -> Any:
        assert go.wait(20)
        return run(version, encoded)

    monkeypatch.setattr(LoadedModel, "logits", wait)
    go.set()  # for the warm-up
    yield go
    go.set()


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

    def test_what_cannot_wait_is_refused_at_once_and_the_rest_is_answered(
        self, held: threading.Event, loaded: TestClient
    ) -> None:
        held.clear()
        body = {"model": "text", "inputs": ["fine"]}
        with ThreadPoolExecutor(6) as pool:
            asked = [pool.submit(loaded.post, "/predict", json=body) for _ in range(6)]
            refused = [each.result() for each in wait_for(asked, 4)]
            held.set()
            answers = [each.result() for each in asked]

        assert {each.status_code for each in refused} == {503}
        assert {each.headers["retry-after"] for each in refused} == {"1"}
        assert {each.json()["code"] for each in refused} == {"overloaded"}
        assert sorted(each.status_code for each in answers) == [200, 200, 503, 503, 503, 503]
        assert loaded.post("/predict", json=body).status_code == 200

    def test_a_version_that_is_no_longer_kept_takes_no_memory_either(self, loaded: TestClient) -> None:
        predictor: Predictor = loaded.app.state.predictor  # type: ignore[attr-defined]
        version = ref(predictor.get_loaded("text"))
        assert loaded.post("/predict", json={"model": "text", "inputs": ["fine"]}).status_code == 200
        predictor._engine._slots.clear()
        gc.collect()
        assert version() is None


def test_who_would_wait_too_long_for_the_event_loop_is_refused(alone: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"model": "text", "inputs": ["fine"]}
    monkeypatch.setattr(EventLoopAdmission, "is_idle", lambda turns: False)
    monkeypatch.setattr(EventLoopAdmission, "acquire", refuse)
    answer = alone.post("/predict", json=body)
    assert (answer.status_code, answer.headers["retry-after"], answer.json()["code"]) == (503, "1", "overloaded")
    assert answer.headers["content-type"] == "application/problem+json"

    monkeypatch.undo()
    assert alone.post("/predict", json=body).status_code == 200


async def refuse(turns: EventLoopAdmission) -> None:
    raise Overloaded


def test_tensors_are_counted_as_everywhere(loaded: TestClient) -> None:
    names = [
        key("isthmus_http_requests_total", method="POST", route="/v2/models/{model}/infer", status="200"),
        key("isthmus_http_request_seconds_count", method="POST", route="/v2/models/{model}/infer"),
        key("isthmus_predicted_inputs_total", modality="image"),
    ]
    slowly(loaded, INFER, **behind_json())
    between = scrape(loaded)
    loaded.post(INFER, **behind_json())
    after = scrape(loaded)

    assert [after[name] - between[name] for name in names] == [1, 1, 1]


@pytest.mark.parametrize("content_type", ["application/json", "application/x-npy", "multipart/form-data; boundary=x"])
def test_who_leaves_before_the_body_is_there_leaves_no_error(loaded: TestClient, content_type: str) -> None:
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
    headers = [(b"content-type", content_type.encode()), (b"x-model", b"text")]
    asyncio.run(loaded.app(scope | {"query_string": b"", "headers": headers}, receive, send))  # type: ignore[arg-type]
    assert [message["status"] for message in sent if message["type"] == "http.response.start"] in ([], [499])


def wait_for(asked: list[Any], count: int) -> list[Any]:
    """Those that are done, when there are so many."""
    done = threading.Semaphore(0)
    for each in asked:
        each.add_done_callback(lambda _: done.release())
    for _ in range(count):
        assert done.acquire(timeout=20)
    return [each for each in asked if each.done()]


def test_large_bodies_come_in_pieces_up_to_the_limit(loaded: TestClient) -> None:
    body = json.dumps({"model": "image", "inputs": PICTURES.tolist()}).encode()

    def pieces(content: bytes) -> Iterator[bytes]:
        yield from (content[start : start + 1000] for start in range(0, len(content), 1000))

    headers = {"content-type": "application/json"}
    assert loaded.post("/predict", content=pieces(body), headers=headers).status_code == 200


def test_a_body_beyond_the_limit_is_handed_on(alone: TestClient) -> None:
    body = b'{"model": "text", "inputs": ["fine"]}'
    statuses = []
    for most in (len(body), len(body) - 1):
        alone.app.hot._max_bytes = most  # type: ignore[attr-defined]
        statuses.append(alone.post("/predict", content=body, headers={"content-type": "application/json"}).status_code)
    assert statuses == [200, 418]
