"""The Python client against the app: uploads of each kind, predictions of each kind, pages, retries, errors."""

import asyncio
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import datasets
import httpx2
import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image

import isthmus
from isthmus.progress import Progress
from isthmus.records import Job

ROWS = [
    {"age": 30.0, "sex": "f", "sick": "no"},
    {"age": 51.5, "sex": "m", "sick": "yes"},
    {"age": None, "sex": "m", "sick": "no"},
]
IMAGES = [Image.new("RGB", (10, 10), (shade, 0, 90)) for shade in (10, 90, 170, 250)]
TEXTS = ["a fine book", "what a waste", "dull and long"]
LABELS = ["no", "yes", "no"]


def folder_of_images(folder: Path) -> Path:
    for index, image in enumerate(IMAGES):
        path = folder / "folder" / f"class{index % 2}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    return folder / "folder"


def csv_file(folder: Path) -> Path:
    path = folder / "first.csv"
    pl.DataFrame(ROWS).write_csv(path)
    return path


def encoded(image: Image.Image) -> dict[str, Any]:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def hugging_face_images() -> Any:
    columns = {"image": [encoded(image) for image in IMAGES], "label": [0, 1, 0, 1]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    return datasets.Dataset.from_dict(columns, features=features)


@pytest.mark.parametrize(
    ("data", "options", "modality", "classes"),
    [
        (csv_file, {"label": "sick"}, "tabular", {"no": 2, "yes": 1}),
        (pl.DataFrame(ROWS), {"label": "sick"}, "tabular", {"no": 2, "yes": 1}),
        (pl.LazyFrame(ROWS), {}, "tabular", None),
        (pd.DataFrame(ROWS), {"label": "sick"}, "tabular", {"no": 2, "yes": 1}),
        (ROWS, {"label": "sick", "name": "rows"}, "tabular", {"no": 2, "yes": 1}),
        ((pl.DataFrame(ROWS).drop("sick"), LABELS), {}, "tabular", {"no": 2, "yes": 1}),
        ((pd.DataFrame(ROWS).drop(columns="sick"), pd.Series(LABELS)), {}, "tabular", {"no": 2, "yes": 1}),
        ((np.arange(6.0).reshape(3, 2), np.array(LABELS)), {}, "tabular", {"no": 2, "yes": 1}),
        ((TEXTS, LABELS), {}, "text", {"no": 2, "yes": 1}),
        (TEXTS, {}, "text", None),
        (folder_of_images, {}, "image", {"class0": 2, "class1": 2}),
        (IMAGES, {}, "image", None),
        ((IMAGES, ["a", "b", "a", "b"]), {}, "image", {"a": 2, "b": 2}),
        (hugging_face_images(), {}, "image", {"cat": 2, "dog": 2}),
        ((np.zeros((4, 2, 30)), [0, 1, 0, 1]), {"modality": "series"}, "series", {"0": 2, "1": 2}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_upload_accepts_the_data_of_other_libraries(
    client: isthmus.Client, tmp_path: Path, data: Any, options: dict[str, Any], modality: str, classes: dict[str, int] | None
) -> None:
    given = data(tmp_path) if callable(data) else data
    dataset = client.datasets.upload(given, **options)
    assert (dataset.modality, dataset.classes) == (modality, classes)
    assert dataset.rows == (4 if modality in ("image", "series") else 3)
    assert client.datasets.get(dataset) == dataset


@pytest.mark.parametrize("rows", [[], [object()]])
def test_data_that_cannot_be_uploaded_is_named(client: isthmus.Client, rows: Any) -> None:
    with pytest.raises(TypeError, match="Cannot upload"):
        client.datasets.upload(rows)


def test_frames_are_returned_in_the_kind_that_was_passed(client: isthmus.Client) -> None:
    version = client.models.get_version("tabular", 1)
    rows = pl.DataFrame(ROWS).drop("sick")
    columns = ["label", "confidence", "abstained", "label_2", "confidence_2"]
    polars = version.predict(rows, top_k=2)
    assert isinstance(polars, pl.DataFrame)
    assert polars.columns == columns
    pandas = version.predict(rows.to_pandas().set_index(pd.Index([7, 8, 9])), top_k=2)
    assert list(pandas.index) == [7, 8, 9]
    assert list(pandas["label"]) == polars["label"].to_list()
    listed = version.predict(rows.to_dicts())
    assert [(each.label, each.confidence) for each in listed] == list(polars.select("label", "confidence").iter_rows())
    hugging = version.predict(datasets.Dataset.from_list(rows.to_dicts()), probabilities=True)
    assert {"label", "probability_nine"} <= set(hugging.column_names)
    assert len(version.predict(pl.concat([rows] * 400), top_k=2)) == 1200


def test_texts_and_images_are_predicted_from_lists_series_and_arrays(client: isthmus.Client) -> None:
    text, image = client.models.get_version("text", 1), client.models.get_version("image", 1)
    listed = [each.label for each in text.predict(TEXTS)]
    assert text.predict(pl.Series("text", TEXTS))["label"].to_list() == listed
    assert client.predict("text:1", pd.Series(TEXTS, name="text"))["label"].tolist() == listed
    pixels = [each.label for each in image.predict(np.stack([np.asarray(one) for one in IMAGES]))]
    assert pixels == [each.label for each in image.predict(IMAGES)]
    assert pixels == image.predict(hugging_face_images())["label"]


def test_lists_iterate_over_all_pages(client: isthmus.Client) -> None:
    for number in range(3):
        client.datasets.upload([f"page {number}"])
    names = [dataset.id for dataset in client.datasets.list(limit=1)]
    assert len(names) == len(set(names)) == len(list(client.datasets.list()))


def test_errors_have_status_code_fields_and_request(client: isthmus.Client) -> None:
    with pytest.raises(isthmus.errors.NotFoundError) as missing:
        client.models.get("nothing")
    assert (missing.value.status, missing.value.code) == (404, "model_not_found")
    assert missing.value.request_id
    with pytest.raises(isthmus.errors.UnprocessableError) as invalid:
        client.adapt("not an id", None, model="m")
    assert invalid.value.errors[0]["pointer"] == "/source"
    with pytest.raises(TypeError, match="colour"):
        client.datasets.list(colour="red")
    away = isthmus.Client("http://127.0.0.1:1", max_retries=0)
    with away, pytest.raises(isthmus.errors.ConnectionFailedError, match="Set ISTHMUS_URL"):
        away.service.live()


def test_submission_sends_a_new_idempotency_key_each_time(client: isthmus.Client) -> None:
    source = client.datasets.upload(pl.DataFrame(ROWS), label="sick")
    target = client.datasets.upload(pl.DataFrame(ROWS).drop("sick"))
    first = client.adapt(source, target, model="keyed", params={"epochs": 1}, algorithm="dann")
    assert client.adapt(source, target, model="keyed", params={"epochs": 1}, algorithm="dann") != first
    assert client.jobs.cancel(first).status == "cancelled"
    with pytest.raises(isthmus.JobFailedError, match="cancelled"):
        client.jobs.get(first).wait(progress=False)
    assert [job.status for job in client.jobs.list(model="keyed", status="cancelled")] == ["cancelled"]


def test_async_client_has_the_same_methods(server: str) -> None:
    async def use() -> tuple[str, int, list[str]]:
        async with isthmus.AsyncClient(server) as client:
            dataset = await client.datasets.upload(["asynchronous"], name="asynchronous")
            version = await client.models.get_version("text", 1)
            predictions = await client.predict(version, TEXTS)
            with pytest.raises(TypeError, match="AsyncClient"):
                version.predict(TEXTS)
            return dataset.name, len(predictions), [model.name async for model in client.models.list(limit=1)]

    name, count, models = asyncio.run(use())
    assert (name, count) == ("asynchronous", 3)
    assert {"image", "tabular", "text"} <= set(models)


@contextmanager
def scripted(*statuses: int) -> Iterator[tuple[str, list[Message]]]:
    """Serve these statuses one after the other, and record the headers of each request."""
    requests: list[Message] = []
    answers = iter(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            requests.append(self.headers)
            self.send_response(next(answers))
            self.send_header("Retry-After", "0")
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"id": "1", "code": "overloaded", "detail": "later"}')

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_busy_servers_are_asked_again_with_the_same_key() -> None:
    with scripted(503, 502, 202) as (url, received), isthmus.Client(url) as client:
        assert client.adapt("a", "b", model="m").id == "1"
    assert len(received) == 3
    assert len({request["idempotency-key"] for request in received}) == 1


def test_a_call_with_an_effect_is_not_repeated_after_an_unclear_failure() -> None:
    with scripted(502, 200) as (url, received), isthmus.Client(url) as client:
        with pytest.raises(isthmus.errors.ServerError):
            client.jobs.cancel("1")
        assert len(received) == 1
    with scripted(*[429] * 2) as (url, received), isthmus.Client(url, max_retries=1) as client:
        with pytest.raises(isthmus.errors.RateLimitError, match="later"):
            client.jobs.cancel("1")
        assert len(received) == 2


def test_environment_has_the_address_and_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(200) as (url, received):
        monkeypatch.setenv("ISTHMUS_URL", f"{url}/")
        monkeypatch.setenv("ISTHMUS_API_KEY", "isth_1")
        with isthmus.Client() as client:
            client.jobs.cancel("1")
        assert client.url == url
    assert received[0]["authorization"] == "Bearer isth_1"


def test_requests_of_the_scoring_client_of_mlflow_work_with_one_address_per_model(client: isthmus.Client) -> None:
    """Send what `mlflow.pyfunc.scoring_server.client.ScoringServerClient` sends for a frame; MLflow itself is not installed."""
    url, rows = f"{client.url}/models/tabular:1", pl.DataFrame(ROWS).drop("sick").to_pandas()
    assert httpx2.get(f"{url}/ping").status_code == 200
    body = json.dumps({"dataframe_split": rows.to_dict(orient="split"), "params": {"top_k": 2}}).replace("NaN", "null")
    response = httpx2.post(f"{url}/invocations", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 200, response.text
    predictions = pd.DataFrame(json.loads(response.text)["predictions"])
    assert list(predictions["label"]) == list(client.models.get_version("tabular", 1).predict(rows)["label"])


def test_progress_is_silent_in_pipes(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("wine") as bar:
        bar.show(Job({"status": "running", "progress": 0.5, "eta_seconds": 3.0}))
    assert capsys.readouterr() == ("", "")


def test_report_of_a_version_names_estimate_and_warnings() -> None:
    estimate = {"value": 0.8, "low": 0.7, "high": 0.9}
    metrics = {"target_accuracy_estimate": estimate, "warnings": [{"code": "few", "message": "Few <rows>."}]}
    html = isthmus.Version({"model": "wine", "number": 2, "summary": ["About 80 %."], "metrics": metrics})._repr_html_()
    assert "wine:2" in html
    assert "About 80 %." in html
    assert "<svg" in html
    assert "Few &lt;rows&gt;." in html
