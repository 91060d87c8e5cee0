"""Series from upload to prediction, over HTTP, through a real worker."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from benchmarks.adaptation import wearables
from tests.support.deployed_service import Client
from tests.support.factories import npz_bytes

pytestmark = pytest.mark.timeout(200)

BRIEF = {"epochs": 1, "min_steps": 120, "batch_size": 32}
SMALL = {"network": "cnn1d", "width": 8}


@pytest.fixture(scope="module")
def client(service: Client) -> Client:
    return service


@pytest.fixture(scope="module")
def windows(client: Client, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Ids of generated datasets of an accelerometer, uploaded without naming the modality."""
    folder = tmp_path_factory.mktemp("wearables")
    wearables.write(folder, 240, 240, 120)
    datasets = {name: client.upload(folder / f"{name}.npz", name) for name in ("source", "target", "evaluation")}
    assert {dataset["modality"] for dataset in datasets.values()} == {"series"}
    assert not datasets["target"]["labelled"]
    return {name: dataset["id"] for name, dataset in datasets.items()}


def test_dann_adapts_sensor_windows_and_every_protocol_predicts_alike(client: Client, windows: dict[str, Any]) -> None:
    job = client.run(model="movements", **windows, base=SMALL, params={"algorithm": "dann", **BRIEF})
    metrics = client.version(job)["metrics"]
    assert metrics["target_accuracy"] > 0.5, metrics
    assert {"target_accuracy_estimate", "helped"} <= metrics.keys()

    labelled = wearables.make(wearables.TARGET, 40, seed=5)
    x = labelled["x"]
    predictions = client.predict("movements", x.tolist())
    labels = [one["label"] for one in predictions]
    assert np.mean(np.array(labels) == labelled["y"]) > 0.4
    files = client.http.post("/predict", data={"model": "movements"}, files=[("files", ("a.npz", npz_bytes(x=x)))])
    assert [one["label"] for one in files.json()["predictions"]] == labels
    headers = {"content-type": "application/octet-stream"}
    raw = client.http.post("/predict", params={"model": "movements"}, content=x.astype("<f4").tobytes(), headers=headers)
    assert [one["label"] for one in raw.json()["predictions"]] == labels
    tensor = {"name": "series", "shape": list(x.shape), "datatype": "FP32", "data": x.ravel().tolist()}
    inferred = client.http.post("/v2/models/movements/infer", json={"inputs": [tensor]}).json()
    outputs = {output["name"]: output["data"] for output in inferred["outputs"]}
    assert outputs["label"] == labels
    gaps: Any = x[0].tolist()
    gaps[1][3:6] = [None] * 3
    assert len(client.predict("movements", [gaps])) == 1
    refused = client.http.post("/predict", json={"model": "movements", "inputs": [[[1, 2]] * 3]})
    assert refused.status_code == 422
    assert "3 x 2 numbers, expected 3 x 128" in refused.text


def test_job_of_series_needs_no_further_options(client: Client, windows: dict[str, Any]) -> None:
    for algorithm in ("dann", "auto"):
        job = client.submit(model="defaults", **windows, params={"algorithm": algorithm})
        assert job["base"]["network"] == "cnn1d"
        assert client.http.post(f"/jobs/{job['id']}/cancel").status_code in (200, 202)


def test_batch_prediction_and_preview_of_series(client: Client, windows: dict[str, Any]) -> None:
    client.run(model="brief", source=windows["source"], base=SMALL, params={"algorithm": "fine_tune", "epochs": 1})
    body = {"model": "brief", "dataset": windows["evaluation"], "output": "parquet"}
    batch_id = client.http.post("/batch-predictions", json=body).json()["id"]
    for _ in range(5):
        if (batch := client.http.get(f"/batch-predictions/{batch_id}?wait=20").json())["status"] != "running":
            break
    assert batch["status"] == "succeeded", batch
    output = pl.read_parquet(io.BytesIO(client.http.get(f"/batch-predictions/{batch_id}/output").content))
    assert output.height == 120
    assert output["error"].null_count() == 120
    preview = client.http.get(f"/datasets/{windows['source']}/preview").json()["data"]
    assert preview[0].keys() == {"thumbnail", "channels", "length", "label"}


def test_auto_searches_methods_for_series(client: Client, windows: dict[str, Any]) -> None:
    params = {"algorithm": "auto", "epochs": 1, "min_steps": 20, "budget": {"trials": 1}}
    metrics = client.version(client.run(model="searched", **windows, base=SMALL, params=params))["metrics"]
    assert len(metrics["search"]) == 2
    assert metrics["search"][1]["params"]["augmentation"] == "strong"


def test_bearings_adapt_to_another_load(client: Client, shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "shifts/bearing-load1-load2"
    datasets = {}
    for name, count in (("source", 270), ("target", 180), ("evaluation", 90)):
        with np.load(folder / f"{name}.npz") as file:
            chosen = np.random.default_rng(0).permutation(len(file["x"]))[:count]
            np.savez(tmp_path / f"{name}.npz", **{array: file[array][chosen] for array in file.files})
        datasets[name] = client.upload(tmp_path / f"{name}.npz", name)["id"]
    job = client.run(model="bearings", **datasets, base=SMALL | {"width": 16}, params={"algorithm": "dann", **BRIEF})
    assert client.version(job)["metrics"]["target_accuracy"] > 0.25  # chance is 0.11
