"""The model cache: loading, eviction and integrity checks."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import onnxruntime
import pytest

from app.errors import ArtifactCorrupt
from app.serving.model_cache import ModelCache
from app.serving.model_loader import GRAPH_FACTOR, SESSION_BYTES, ModelLoader
from app.serving.onnx_session import DeviceUnavailableError
from app.serving.probabilities import softmax
from app.serving.version_files import VersionFiles
from app.storage import Storage
from tests.support.published_models import EXAMPLES, Exported, export_network

Stored = Callable[[], VersionFiles]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_network("text", ["bad", "good"], tmp_path_factory.mktemp("text"))


@pytest.fixture(params=["file", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Open a storage: a folder, or a file system whose files are copied before use."""
    return Storage(f"file://{tmp_path}/storage" if request.param == "file" else f"memory://{uuid.uuid4()}")


@pytest.fixture
def store(files: Storage, exported: Exported) -> Stored:
    def stored() -> VersionFiles:
        version = str(uuid.uuid4())
        stored = {file.name: files.put(f"jobs/{version}/{file.name}", file) for file in exported.folder.iterdir()}
        return VersionFiles(version, exported.manifest, stored)

    return stored


def engine_of(files: Storage, capacity_bytes: int = 2**30) -> ModelCache:
    return ModelCache(ModelLoader(files, threads=1), capacity_bytes)


def count_sessions(monkeypatch: pytest.MonkeyPatch) -> list[onnxruntime.SessionOptions]:
    """Record the options of every later session."""
    made: list[onnxruntime.SessionOptions] = []
    real = onnxruntime.InferenceSession

    def session(path: Path, options: onnxruntime.SessionOptions, **rest: object) -> onnxruntime.InferenceSession:
        made.append(options)
        return real(path, options, **rest)

    monkeypatch.setattr("app.serving.onnx_session.onnxruntime.InferenceSession", session)
    return made


def test_version_returns_the_probabilities_of_its_network(files: Storage, store: Stored, exported: Exported) -> None:
    loaded = engine_of(files).load(store())

    assert loaded.classes == ("bad", "good")
    answers = loaded.probabilities(EXAMPLES["text"])
    np.testing.assert_allclose(answers, exported.probabilities(EXAMPLES["text"]), atol=1e-6)
    np.testing.assert_allclose(answers.sum(axis=1), 1)


def test_concurrent_requests_load_a_version_once(files: Storage, store: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    made = count_sessions(monkeypatch)
    engine, version, together = engine_of(files), store(), Barrier(8)

    def ask() -> object:
        together.wait()
        return engine.load(version)

    with ThreadPoolExecutor(8) as pool:
        loaded = [future.result() for future in [pool.submit(ask) for _ in range(8)]]

    assert len(made) == 1
    assert len({id(each) for each in loaded}) == 1


def test_threads_are_set_explicitly(files: Storage, store: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    made = count_sessions(monkeypatch)
    ModelLoader(files, threads=3).load(store())

    assert [(options.intra_op_num_threads, options.inter_op_num_threads) for options in made] == [(3, 1)]


def test_least_recently_used_version_is_evicted(files: Storage, store: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    made = count_sessions(monkeypatch)
    first, second, third = store(), store(), store()
    each = engine_of(files).load(first).size_bytes
    engine = engine_of(files, 2 * each)
    made.clear()

    for version in (first, second, first, third, first):
        engine.load(version)
    assert len(made) == 3
    engine.load(second)
    assert len(made) == 4


def test_version_larger_than_the_cache_is_served(files: Storage, store: Stored) -> None:
    engine, version = engine_of(files, 1), store()
    loaded = engine.load(version)

    assert engine.get(version.key) is loaded
    engine.load(store())
    assert engine.get(version.key) is None


def test_memory_of_a_version_is_estimated_from_its_graph(files: Storage, store: Stored, exported: Exported) -> None:
    loaded = engine_of(files).load(store())
    assert loaded.size_bytes == GRAPH_FACTOR * (exported.folder / "model.onnx").stat().st_size + SESSION_BYTES


def test_warm_up_measures_the_latency(files: Storage, store: Stored) -> None:
    speed = engine_of(files).load(store()).latency

    assert 0 < speed.estimate(1) == speed.single
    assert speed.estimate(8) == pytest.approx(max(speed.single, speed.warm_batch))
    assert speed.estimate(64) >= speed.estimate(8)


def test_unsupported_device_fails_the_start(files: Storage) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime can use CUDA")
    with pytest.raises(DeviceUnavailableError, match=r"no CUDAExecutionProvider, only .*CPUExecutionProvider.*onnxruntime-gpu"):
        ModelLoader(files, threads=1, device="cuda")


@pytest.mark.parametrize("name", ["model.onnx", "vocabulary.json"])
def test_changed_or_missing_file_is_rejected_until_restored(files: Storage, store: Stored, tmp_path: Path, name: str) -> None:
    engine, version = engine_of(files), store()
    key = version.files[name].key
    with files.open(key) as file:
        content = file.read()
    (tmp_path / "good").write_bytes(content)
    (tmp_path / "bad").write_bytes(content[:-1] + b"\0")

    files.put(key, tmp_path / "bad")
    with pytest.raises(ArtifactCorrupt, match=f"{name} of this version is not the one"):
        engine.load(version)
    files.delete(key)
    with pytest.raises(ArtifactCorrupt, match=f"{name} of this version is missing"):
        engine.load(version)
    files.put(key, tmp_path / "good")
    assert engine.load(version).probabilities(["fine"]).shape == (1, 2)


def test_softmax_of_large_logits_is_finite() -> None:
    logits = np.array([[1e30, 1e30, -1e30], [0, np.log(3), -np.inf]], np.float32)

    np.testing.assert_allclose(softmax(logits), [[0.5, 0.5, 0], [0.25, 0.75, 0]], atol=1e-7)
