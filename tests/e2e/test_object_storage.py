"""The whole flow with all files in an object store: two machines' workers share nothing but servers."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from fastapi.testclient import TestClient

from app.db.migrate import upgrade
from app.db.session import SessionFactory, make_engine
from app.errors import StorageUnavailable
from app.main import create_app
from app.services import file_deletions
from app.settings import Settings
from app.storage import Storage
from tests.support.deployed_service import Client, running
from tests.support.factories import npz_bytes, write
from tests.support.forked_trainers import forked_trainers
from tests.support.list_queue import ListQueue
from tests.support.polling import wait_until
from tests.support.servers import RedisServer, S3Server
from tests.support.supervision import is_training
from tests.support.toy_problems import toy_images

TABLE = b"age,label\n30,no\n40,yes\n50,no\n60,yes\n"
INTERVALS = {
    "lease_seconds": "4",
    "heartbeat_seconds": "0.5",
    "sweep_seconds": "1",
    "checkpoint_seconds": "0.5",
    "train_threads": "1",
}


def environment(folder: Path, store: S3Server, redis_server: RedisServer) -> dict[str, str]:
    """Return the variables of all processes: SQLite, Redis and the object store."""
    urls = {"database_url": f"sqlite:///{folder}/isthmus.db", "broker_url": redis_server.url, "data_dir": str(folder / "data")}
    values = {**urls, **store.settings("deployment"), **INTERVALS}
    return {f"ISTHMUS_{name.upper()}": value for name, value in values.items()}


def stored(store: S3Server, prefix: str = "deployment") -> Storage:
    settings = Settings.model_validate({**store.settings(prefix), "_env_file": None})
    return settings.open_storage()


def digits(*, target: bool) -> bytes:
    examples = toy_images(120, 3, target=target)
    assert examples.labels is not None
    arrays = {"x": examples.inputs["pixels"].numpy()} | ({} if target else {"y": examples.labels.numpy()})
    return npz_bytes(**arrays)


def trainer_of_this_test() -> psutil.Process | None:
    trainers = forked_trainers(psutil.Process())
    return trainers[0] if trainers else None


def kill_worker_of_running_job(folder: Path, job_id: str) -> None:
    """Kill the worker, as if its machine were lost, when its trainer has reported progress and a checkpoint."""
    engine = make_engine(f"sqlite:///{folder}/isthmus.db")
    wait_until(is_training(SessionFactory(engine), UUID(job_id)), 60, "a checkpoint")
    engine.dispose()
    trainer = wait_until(trainer_of_this_test, what="a trainer")
    template = trainer.parent()
    worker = template.parent().parent()
    worker.kill()
    psutil.wait_procs([trainer, template, worker], timeout=10)


def test_all_files_of_a_deployment_are_in_the_object_store(
    s3_server: S3Server, redis_server: RedisServer, tmp_path: Path
) -> None:
    source, target = (write(tmp_path, f"digits-{name}.npz", digits(target=name == "target")) for name in ("source", "target"))
    with running(environment(tmp_path, s3_server, redis_server), tmp_path, workers=2) as client:
        datasets = [client.upload(path, path.stem, modality="image")["id"] for path in (source, target)]
        assert len(client.http.get(f"/datasets/{datasets[0]}/preview").json()["data"]) == 10
        params = {"algorithm": "fine_tune", "epochs": 20, "batch_size": 32, "augmentation": "none"}
        submitted = client.submit(model="digits", source=datasets[0], base={"network": "cnn", "input_size": 8}, params=params)
        kill_worker_of_running_job(tmp_path, submitted["id"])
        job = client.wait(submitted["id"])
        assert (job["status"], job["attempt"]) == ("succeeded", 2), job["error"]
        events = client.http.get(f"/jobs/{job['id']}/events").text
        assert '"resumed":true' in events.replace(" ", "")

        version = client.version(job)
        assert len(client.predict("digits", toy_images(2, 3, target=False).inputs["pixels"].tolist())) == 2
        check_downloads(client, version)
        check_batch_prediction(client, datasets[1])
        assert client.http.delete(f"/datasets/{datasets[1]}").status_code == 204

    storage = stored(s3_server)
    engine = make_engine(f"sqlite:///{tmp_path}/isthmus.db")
    file_deletions.remove_remaining(SessionFactory(engine), storage)  # as the retention does each minute
    engine.dispose()
    keys = storage.keys("datasets")
    assert {key.split("/")[1] for key in keys} == {datasets[0]}
    names = {key.rpartition("/")[2] for key in storage.keys(f"jobs/{job['id']}")}
    assert names == {file["name"] for file in version["artifacts"]}  # and no checkpoints
    left = [path for path in (tmp_path / "data").rglob("*") if path.is_file() and path.parent.name != "graphs"]
    assert left == []
    logs = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert s3_server.secret_key not in logs


def check_downloads(client: Client, version: dict[str, Any]) -> None:
    """Download the graph in two ranges and compare it with the whole."""
    (file,) = [file for file in version["artifacts"] if file["name"] == "model.onnx"]
    url = f"/models/digits/versions/{version['number']}/artifacts/model.onnx"
    whole = client.http.get(url)
    assert len(whole.content) == file["size_bytes"]
    middle = len(whole.content) // 2
    parts = [client.http.get(url, headers={"Range": f"bytes={span}"}) for span in (f"0-{middle - 1}", f"{middle}-")]
    assert [part.status_code for part in parts] == [206, 206]
    assert b"".join(part.content for part in parts) == whole.content
    assert client.http.get(url, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304


def check_batch_prediction(client: Client, dataset: str) -> None:
    submitted = client.http.post("/batch-predictions", json={"model": "digits", "dataset": dataset, "output": "csv"})
    url = f"/batch-predictions/{submitted.json()['id']}"
    wait_until(lambda: client.http.get(url, params={"wait": 20}).json()["status"] == "succeeded", 60, "the batch prediction")
    assert len(client.http.get(f"{url}/output").text.splitlines()) == 121


@dataclass(frozen=True)
class Away:
    """A service whose object store can be stopped."""

    client: TestClient
    store: S3Server
    settings: Settings


@pytest.fixture
def away(tmp_path: Path) -> Iterator[Away]:
    with own_store(tmp_path) as store:
        settings = Settings.model_validate({"data_dir": tmp_path / "data", **store.settings("outage"), "_env_file": None})
        upgrade(settings.database)
        with TestClient(create_app(settings, ListQueue()), raise_server_exceptions=False) as client:
            yield Away(client, store, settings)


@contextmanager
def own_store(folder: Path) -> Iterator[S3Server]:
    store = S3Server(folder / "s3")
    store.start()
    try:
        yield store
    finally:
        store.stop()


def upload(client: TestClient, content: bytes) -> Any:
    return client.post("/datasets", data={"name": "patients"}, files={"file": ("patients.csv", content, "text/csv")})


def test_unreachable_store_gives_503_until_it_is_back(away: Away) -> None:
    client, store = away.client, away.store
    dataset = upload(client, TABLE).json()["id"]
    assert client.get("/health/ready").status_code == 200
    store.stop()
    for response in (upload(client, TABLE + b"70,no\n"), client.get(f"/datasets/{dataset}/preview")):
        assert (response.status_code, response.headers["retry-after"]) == (503, "5"), response.text
        assert response.json()["code"] == "storage_unavailable"
    assert client.get(f"/datasets/{dataset}").status_code == 200
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json()["storage"], ready.json()["database"]) == (503, "error", "ok")
    assert [path for path in (away.settings.scratch_dir).rglob("*") if path.is_file()] == []

    store.start()
    wait_until(lambda: client.get("/health/ready").status_code == 200, what="the store")
    assert upload(client, TABLE + b"70,no\n").status_code == 201
    assert len(client.get(f"/datasets/{dataset}/preview").json()["data"]) == 4


def test_large_file_is_visible_only_when_it_is_complete(s3_server: S3Server, tmp_path: Path) -> None:
    """The file is uploaded in parts, while another thread looks for it."""
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(2**20) * 110)
    storage, seen = stored(s3_server, "parts"), []
    thread = threading.Thread(target=storage.put, args=("jobs/j/1/large.bin", path))
    thread.start()
    while thread.is_alive():
        if storage.exists("jobs/j/1/large.bin"):
            with storage.open("jobs/j/1/large.bin") as file:
                seen.append(file.seek(0, os.SEEK_END))
        thread.join(0.05)
    assert set(seen) <= {path.stat().st_size}
    with storage.open("jobs/j/1/large.bin") as file:
        file.seek(2**20 * 109)
        assert file.read() == path.read_bytes()[2**20 * 109 :]
    storage.delete("jobs/j")
    assert storage.keys("jobs") == []


def test_missing_file_and_missing_bucket_differ(s3_server: S3Server, tmp_path: Path) -> None:
    storage = stored(s3_server, "empty")
    with pytest.raises(FileNotFoundError):
        storage.open("jobs/j/1/none")
    assert not storage.exists("jobs/j/1/none")
    values = {**s3_server.settings("x"), "storage_url": "s3://no-such-bucket/x", "_env_file": None}
    settings = Settings.model_validate(values)
    with pytest.raises(StorageUnavailable, match="bucket"):
        settings.open_storage().put("jobs/j/1/file", write(tmp_path, "file", json.dumps({}).encode()))
