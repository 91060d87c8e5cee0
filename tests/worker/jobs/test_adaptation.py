"""Whole jobs, from stored datasets to stored artifacts."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import load
from sqlalchemy import select

from app.algorithms import PARAMS
from app.db.tables import JobRow, VersionRow
from app.job_types.adaptation import AdaptationResult
from app.labels.target_outputs import TargetOutputs
from app.modalities.image import ImagePreprocessing
from app.networks.cnn import CnnParams
from app.schemas.version_metrics import VersionMetrics
from tests.support.factories import csv_bytes, jsonl_bytes, npz_bytes
from tests.support.job_bench import CNN, DANN, FINE_TUNE, SMALL, Bench, bench, digits, opened_bench
from tests.support.toy_problems import CPU, toy_images
from worker import networks
from worker.data.splits import DomainData
from worker.data.training_setup import choose_device
from worker.distributed.processes import Distributed
from worker.export import quantization
from worker.protocol.progress import BadData, BadParameters, ProgressReporter, StopRequested
from worker.reporting.report import build_report
from worker.search.remote_trials import LocalOnly
from worker.search.training import train
from worker.training.preparation import prepare_trials

__all__ = ["bench"]  # the fixture

FILES = {"manifest.json", "model.onnx", "network.safetensors"}


class StopsAfter(ProgressReporter):
    """A reporter that requests a stop after a number of loss points."""

    def __init__(self, points: int) -> None:
        super().__init__(io.StringIO())
        self._left = points

    def report(self, step: int, epoch: float, progress: float, metrics: Any) -> None:
        super().report(step, epoch, progress, metrics)
        self._left -= "classification" in metrics
        if not self._left:
            self.request_stop()


@dataclass
class Done:
    """An ended job that several tests read or continue."""

    bench: Bench
    job: JobRow
    result: AdaptationResult
    version: VersionRow
    output: str


def test_matrix_of_many_classes_is_a_file_of_the_version(bench: Bench) -> None:
    rows = [(number % 120 + number / 1000, f"class-{number % 120}") for number in range(600)]
    source = bench.dataset("tabular", "many.csv", csv_bytes(["x", "label"], rows))
    result = bench.run(bench.job(SMALL | {"algorithm": "source_only"}, source))
    assert "source_confusion" not in result.metrics
    assert all(cell["true"] != cell["predicted"] for cell in result.metrics["source_largest_errors"])
    file = next(file for file in result.artifacts if file.name == "confusion-source.parquet")
    with bench.storage.open(file.key) as content:
        cells = pl.read_parquet(content.read())
    assert cells["count"].sum() == sum(one["examples"] for one in result.metrics["source_classes"].values())


def done(bench: Bench, job: JobRow) -> Done:
    stream = io.StringIO()
    reporter = ProgressReporter(stream)
    result = bench.run(job, reporter=reporter)
    reporter.flush()  # the trainer's entry does so: a fast machine is done within one interval
    return Done(bench, job, result, bench.publish(job, result), stream.getvalue())


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory, empty_sqlite: Path) -> Iterator[Done]:
    with opened_bench(tmp_path_factory.mktemp("adapted"), empty_sqlite) as bench:
        source, target = digits(bench, target=False), digits(bench, target=True, labelled=False)
        yield done(bench, bench.job(DANN, source, target, digits(bench, target=True), base=CNN))


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, empty_sqlite: Path) -> Iterator[Done]:
    with opened_bench(tmp_path_factory.mktemp("tuned"), empty_sqlite) as bench:
        yield done(bench, bench.job(FINE_TUNE, digits(bench, target=False), base=CNN))


def answers(bench: Bench, result: AdaptationResult, inputs: dict[str, Any], graph: str = "model.onnx") -> list[str]:
    session = onnxruntime.InferenceSession(bench.content(result, graph))
    (logits,) = session.run(["logits"], inputs)
    return [result.manifest.classes[number] for number in logits.argmax(1)]


def test_exported_files_reproduce_the_metrics_of_the_job(adapted: Done) -> None:
    bench, job, result = adapted.bench, adapted.job, adapted.result
    assert set(result.metrics) <= set(VersionMetrics.__annotations__)
    assert {file.name for file in result.artifacts} == FILES | {"embedding.parquet", "target.parquet"}
    for file in result.artifacts:
        content = bench.content(result, file.name)
        assert file.key == f"jobs/{job.id}/1/artifacts/{file.name}"
        assert (sha256(content).hexdigest(), len(content)) == (file.digest, file.size_bytes)
    manifest = json.loads(bench.content(result, "manifest.json"))
    assert manifest == result.manifest.to_json()
    assert manifest["digests"] == {file.name: file.digest for file in result.artifacts if file.name != "manifest.json"}
    assert manifest["inputs"] == {"pixels": {"dtype": "uint8", "shape": [8, 8, 1]}}
    assert manifest["classes"] == [str(digit) for digit in range(10)]
    assert (manifest["format"], manifest["modality"], manifest["job_id"]) == (1, "image", str(job.id))
    assert manifest["network"]["network"] == "cnn"
    assert manifest["params"]["lambda_max"] == 1

    examples = toy_images(500, 10, target=True)
    assert examples.labels is not None
    predicted = answers(bench, result, {"pixels": examples.inputs["pixels"].numpy()})
    right = np.mean([name == str(label) for name, label in zip(predicted, examples.labels.tolist(), strict=True)])
    assert result.metrics["target_accuracy"] == pytest.approx(right, abs=0.005)
    assert result.metrics["target_accuracy"] > 0.6
    assert result.metrics["source_accuracy"] > 0.8
    assert result.metrics["steps"] == 120
    estimate = result.metrics["target_accuracy_estimate"]
    assert 0 <= estimate["low"] <= estimate["value"] <= estimate["high"] <= 1
    assert estimate["error"] == pytest.approx(estimate["value"] - result.metrics["target_accuracy"])
    low, high = result.metrics["target_intervals"]["accuracy"]
    assert low < result.metrics["target_accuracy"] < high
    assert sum(map(sum, result.metrics["target_confusion"])) == 500
    assert (result.metrics["helped"] != "no", result.metrics["registered"]) == (True, "adapted")
    evidence = result.metrics["helped_evidence"]
    assert evidence["expected_gain"] > 0
    assert 0 < evidence["measured"]["disputed"] < 1
    TypeAdapter(VersionMetrics).validate_python(result.metrics)
    assert sum(share["target"] for share in result.metrics["class_priors"]["classes"].values()) == pytest.approx(1)
    assert 0 <= result.metrics["proxy_a_distance"]["adapted"] <= 2
    assert 0 < manifest["abstention_threshold"] < 1
    outputs = TargetOutputs.read(io.BytesIO(bench.content(result, "target.parquet")))
    assert outputs.rows.tolist() == list(range(1, 501))
    assert set(outputs.predicted) <= set(result.manifest.classes)
    assert 0 < outputs.disputed.sum() < 500
    assert (outputs.margin <= outputs.confidence).all()
    embedding = pl.read_parquet(io.BytesIO(bench.content(result, "embedding.parquet")))
    assert embedding["domain"].value_counts(sort=True)["domain"].to_list() == ["target", "source"]
    assert 0 < result.metrics["source_only_target_accuracy"] < result.metrics["target_accuracy"]
    assert result.metrics["calibration"]["temperature"] == manifest["temperature"] > 0
    points = [point for line in adapted.output.splitlines() for point in json.loads(line)["metrics"]]
    assert {"classification", "domain", "domain_accuracy", "lambda", "source_accuracy"} <= {point["name"] for point in points}


def test_first_attempt_reports_its_precision(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.training.mixed_precision.is_faster", lambda: True)
    source, target = digits(bench, target=False), digits(bench, target=True, labelled=False)
    first = done(bench, bench.job({**DANN, "min_steps": 1, "epochs": 1}, source, target, base=CNN))
    reported = [json.loads(line)["training_precision"] for line in first.output.splitlines()]
    assert [precision for precision in reported if precision] == ["bfloat16"]
    assert first.result.manifest.training_precision == "bfloat16"


def test_exported_graph_divides_by_the_temperature(bench: Bench) -> None:
    result = bench.run(bench.job({**FINE_TUNE, "epochs": 1}, digits(bench, target=False), base=CNN))
    temperature = result.manifest.temperature
    assert temperature != pytest.approx(1, abs=0.02)
    inputs = {"pixels": toy_images(20, 10, target=False).inputs["pixels"].numpy()}
    (logits,) = onnxruntime.InferenceSession(bench.content(result, "model.onnx")).run(["logits"], inputs)
    preprocessing = ImagePreprocessing.model_validate(result.manifest.preprocessing)
    network = networks.build(CnnParams(input_size=8), preprocessing, {}, 10)
    network.load_state_dict(load(bench.content(result, "network.safetensors")))
    with torch.no_grad():
        plain = network.eval()({"pixels": torch.from_numpy(inputs["pixels"])}).numpy()
    np.testing.assert_allclose(logits * temperature, plain, rtol=1e-3, atol=1e-3)


def test_strongly_reduced_images_give_a_warning(bench: Bench) -> None:
    small = toy_images(100, 10, target=False)
    assert small.labels is not None
    large = small.inputs["pixels"].numpy().repeat(2, axis=1).repeat(2, axis=2)
    source = bench.dataset("image", "large.npz", npz_bytes(x=large, y=small.labels.numpy()))
    stream = io.StringIO()
    bench.run(bench.job({**FINE_TUNE, "epochs": 1}, source, base=CNN), reporter=ProgressReporter(stream))
    assert '"code":"data_reduced"' in stream.getvalue()


def test_quantized_copy_is_a_file_of_the_version(bench: Bench) -> None:
    params = {**DANN, "quantize": "int8", "max_quantization_loss": 0.05}
    result = bench.run(bench.job(params, digits(bench, target=False), digits(bench, target=True, labelled=False), base=CNN))
    TypeAdapter(VersionMetrics).validate_python(result.metrics)
    metrics = result.metrics["quantization"]
    assert (metrics["precision"], metrics["accepted"]) == ("int8", True)
    assert result.manifest.metrics["quantization"] == metrics
    copy = next(file for file in result.artifacts if file.name == "model.int8.onnx")
    assert (copy.size_bytes, copy.digest) == (metrics["bytes_after"], result.manifest.digests["model.int8.onnx"])
    pixels = toy_images(500, 10, target=True).inputs["pixels"].numpy()
    both = [answers(bench, result, {"pixels": pixels}, name) for name in ("model.onnx", "model.int8.onnx")]
    assert np.mean([one == other for one, other in zip(*both, strict=True)]) == pytest.approx(metrics["agreement"])


def test_quantized_copy_with_too_much_loss_causes_a_warning(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(graph: Path, copy: Path, data: DomainData) -> dict[str, Any]:
        return compare(graph, copy, data) | {"loss": 0.02}

    compare = quantization.compare
    monkeypatch.setattr(quantization, "compare", lost)
    stream = io.StringIO()
    reporter = ProgressReporter(stream)
    params = {**FINE_TUNE, "epochs": 1, "quantize": "float16"}
    result = bench.run(bench.job(params, digits(bench, target=False), base=CNN), reporter=reporter)
    reporter.flush()
    assert not result.metrics["quantization"]["accepted"]
    assert {file.name for file in result.artifacts} == FILES
    warned = [warning for line in stream.getvalue().splitlines() for warning in json.loads(line)["warnings"]]
    assert [warning["code"] for warning in warned] == ["quantization_rejected"]
    assert "2.00%" in warned[0]["message"]


def test_source_free_method_is_compared_with_its_base_version(tuned: Done) -> None:
    bench = tuned.bench
    base = {"base": {"model": "toy:1"}, "base_version_id": tuned.version.id}
    params = {"algorithm": "adabn", "batch_size": 32, "augmentation": "none"}
    result = bench.run(bench.job(params, None, digits(bench, target=True, labelled=False), digits(bench, target=True), **base))
    assert result.manifest.classes == [str(digit) for digit in range(10)]
    assert not {"source_accuracy", "calibration"} & result.metrics.keys()
    assert [warning["code"] for warning in result.metrics["warnings"]] == ["no_estimate"]
    assert result.metrics["target_accuracy"] > result.metrics["source_only_target_accuracy"] + 0.1
    for name in ("temperature", "abstention_threshold"):
        assert getattr(result.manifest, name) == getattr(tuned.result.manifest, name) not in (0, 1)


def test_harmful_adaptation_registers_the_source_only_network(bench: Bench) -> None:
    """The weight of the loss term is so high that the network forgets the labels of the source."""
    source, target = digits(bench, target=False), digits(bench, target=False, labelled=False)
    evaluation = digits(bench, target=False, rows=400)
    params = {**DANN, "algorithm": "bnm", "weight": 1000}
    job = bench.job(params, source, target, evaluation, base=CNN)
    task, trials = prepare_trials(bench.context(job), CPU, Distributed())
    training = train(trials, task.params, LocalOnly())
    metrics = build_report(task, trials, training).metrics
    assert (metrics["helped"], metrics["registered"]) == ("no", "source_only")
    assert "negative_transfer" in {warning["code"] for warning in metrics["warnings"]}
    without_fallback = replace(task, params=task.params.model_copy(update={"fallback": False}))
    adapted = build_report(without_fallback, trials, training).metrics
    assert (adapted["helped"], adapted["registered"]) == ("no", "adapted")
    assert adapted["target_accuracy"] < metrics["target_accuracy"] == metrics["source_only_target_accuracy"]


def test_search_keeps_the_best_trial_and_reports_all(bench: Bench) -> None:
    candidates = [{"algorithm": "mcc"}, {"algorithm": "adabn"}, {"algorithm": "dann", "optimizer": "sgd", "learning_rate": 9}]
    params = {
        "algorithm": "auto",
        "min_steps": 120,
        **SMALL,
        "candidates": candidates,
    }
    params = PARAMS["auto"].model_validate(params).model_dump(mode="json")
    source, target = digits(bench, target=False), digits(bench, target=True, labelled=False)
    result = bench.run(bench.job(params, source, target, digits(bench, target=True), base=CNN))
    tried = result.metrics["search"]
    assert [(line["params"]["algorithm"], line["round"]) for line in tried[:4]] == [
        ("source_only", 0),
        ("mcc", 1),
        ("adabn", 1),
        ("dann", 1),
    ]
    assert 1 <= sum(line["round"] == 2 for line in tried) <= 2
    assert sum(line["chosen"] for line in tried) == 1
    assert result.metrics["target_accuracy"] > result.metrics["source_only_target_accuracy"] + 0.1


def test_search_falls_back_to_source_only_if_all_candidates_fail(bench: Bench) -> None:
    params = {"algorithm": "auto", **SMALL, "candidates": [{"algorithm": "tent"}, {"algorithm": "adabn"}]}
    source = bench.dataset("tabular", "source.csv", table(True))
    target = bench.dataset("tabular", "target.csv", table(False))
    job = bench.job(PARAMS["auto"].model_validate(params).model_dump(mode="json"), source, target, source)
    metrics = bench.run(job).metrics
    assert ["no" in (line["error"] or "") for line in metrics["search"]] == [False, True, True]
    assert [line["chosen"] for line in metrics["search"]] == [True, False, False]
    assert (metrics["helped"], metrics["registered"]) == ("no", "source_only")
    assert metrics["target_accuracy"] == metrics["source_only_target_accuracy"] > 0.7
    codes = {warning["code"] for warning in metrics["warnings"]}
    assert not {"validators_disagree", "negative_transfer"} & codes
    assert "source_only_registered" in codes


def test_source_statistics_of_a_base_version_are_dropped(adapted: Done) -> None:
    bench = adapted.bench
    base = {"base": {"model": "toy:1"}, "base_version_id": adapted.version.id}
    again = bench.run(bench.job({**FINE_TUNE, "epochs": 1}, digits(bench, target=False), **base))

    def has_source_statistics(result: AdaptationResult) -> bool:
        weights = load(bench.content(result, "network.safetensors"))
        return any(bool(value) for name, value in weights.items() if name.endswith("has_source"))

    assert (has_source_statistics(adapted.result), has_source_statistics(again)) == (True, False)


@pytest.mark.parametrize("row_has_precision", [True, False])
def test_resumed_attempt_gives_the_same_weights_although_its_measurement_differs(
    row_has_precision: bool, adapted: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, whole = adapted.bench, adapted.result
    source, target = digits(bench, target=False), digits(bench, target=True, labelled=False)
    job = bench.job(DANN, source, target, digits(bench, target=True), base=CNN)
    reporter = StopsAfter(50)
    with pytest.raises(StopRequested):
        bench.run(job, reporter=reporter)
    job.checkpoint = f"jobs/{job.id}/1/checkpoint-50.pt"
    job.training_precision = "float32" if row_has_precision else None
    monkeypatch.setattr("worker.training.mixed_precision.is_faster", lambda: True)
    resumed = bench.run(job, attempt=2)
    assert resumed.manifest.training_precision == "float32"
    assert bench.content(resumed, "network.safetensors") == bench.content(whole, "network.safetensors")
    assert resumed.metrics == whole.metrics


def test_job_with_a_missing_checkpoint_restarts_with_a_warning(bench: Bench) -> None:
    job = bench.job(FINE_TUNE, digits(bench, target=False), base=CNN)
    job.checkpoint = f"jobs/{job.id}/1/checkpoint-50.pt"
    stream = io.StringIO()
    result = bench.run(job, attempt=2, reporter=ProgressReporter(stream))
    assert "checkpoint_missing" in stream.getvalue()
    assert result.metrics["source_accuracy"] > 0.8


def test_checkpoint_of_another_job_is_rejected(bench: Bench) -> None:
    source = digits(bench, target=False)
    first = bench.job(FINE_TUNE, source, base=CNN)
    with pytest.raises(StopRequested):
        bench.run(first, reporter=StopsAfter(5))
    other = bench.job({**FINE_TUNE, "learning_rate": 1e-4}, source, base=CNN)
    other.checkpoint = f"jobs/{first.id}/1/checkpoint-5.pt"
    with pytest.raises(BadParameters, match="other parameters"):
        bench.run(other)


def test_stop_before_training_is_obeyed(bench: Bench) -> None:
    reporter = ProgressReporter(io.StringIO())
    reporter.request_stop()
    with pytest.raises(StopRequested):
        bench.run(bench.job(FINE_TUNE, digits(bench, target=False), base=CNN), reporter=reporter)


def test_job_from_a_version_uses_its_preprocessing_and_weights(tuned: Done) -> None:
    bench, first, base = tuned.bench, tuned.result, {"base": {"model": "toy:1"}, "base_version_id": tuned.version.id}
    frozen = {**FINE_TUNE, "epochs": 1, "unfreeze": "head", "learning_rate": 1e-9, "seed": 7}
    again = bench.run(bench.job(frozen, digits(bench, target=False), **base))
    assert again.manifest.preprocessing == first.manifest.preprocessing
    assert again.manifest.network == first.manifest.network
    assert again.metrics["source_accuracy"] == pytest.approx(first.metrics["source_accuracy"], abs=0.05)

    fewer = bench.run(bench.job(frozen, digits(bench, target=False, classes=4), **base))
    assert fewer.manifest.classes == ["0", "1", "2", "3"]
    assert fewer.metrics["source_accuracy"] < 0.9  # a new head that has not been trained
    with bench.sessions() as session:
        assert session.scalars(select(VersionRow)).one().id == tuned.version.id


def test_fine_tuning_reports_target_accuracy_without_training_on_it(tuned: Done) -> None:
    bench, alone = tuned.bench, tuned.result
    watched = bench.run(bench.job(FINE_TUNE, digits(bench, target=False), digits(bench, target=True), base=CNN))
    assert "target_accuracy" in watched.metrics
    assert "target_accuracy" not in alone.metrics
    assert watched.manifest.preprocessing == alone.manifest.preprocessing
    assert bench.content(watched, "network.safetensors") == bench.content(alone, "network.safetensors")


def table(labelled: bool) -> bytes:
    random = np.random.default_rng(int(labelled))
    rows = []
    for _ in range(200):
        sick = random.random() < 0.5
        age = f"{random.normal(60 if sick else 40, 8):.1f}" if random.random() < 0.9 else ""
        rows.append([age, random.choice(["low", "high"], p=[0.2, 0.8] if sick else [0.8, 0.2])])
        rows[-1] += [["well", "ill"][sick]] if labelled else []
    return csv_bytes(["age", "pressure", *(["label"] if labelled else [])], rows)


def texts(labelled: bool) -> bytes:
    random = np.random.default_rng(int(labelled))
    words = {"good": ["fine", "great", "lovely"], "bad": ["poor", "awful", "dull"]}
    records = []
    for _ in range(200):
        label = str(random.choice(["good", "bad"]))
        tokens = [str(random.choice(words[label])), *map(str, random.choice(["plot", "film", "book", "end"], 3))]
        records.append({"text": " ".join(tokens)} | ({"label": label} if labelled else {}))
    return jsonl_bytes(records)


@pytest.mark.parametrize(("modality", "filename", "make"), [("tabular", "{}.csv", table), ("text", "{}.jsonl", texts)])
@pytest.mark.parametrize("params", [DANN, FINE_TUNE], ids=["dann", "fine_tune"])
def test_tables_and_texts_are_learned_too(
    modality: str, filename: str, make: Callable[[bool], bytes], params: dict[str, Any], bench: Bench
) -> None:
    source = bench.dataset(modality, filename.format("source"), make(True))
    target = bench.dataset(modality, filename.format("target"), make(False))
    result = bench.run(bench.job({**params, "epochs": 12}, source, target, source))
    assert result.metrics["target_accuracy"] > 0.85
    files = {"vocabulary.json"} if modality == "text" else set()
    files |= {"target.parquet"} | ({"embedding.parquet"} if params is DANN else set())
    assert {file.name for file in result.artifacts} == FILES | files


def test_one_example_of_each_class_is_too_few(bench: Bench) -> None:
    examples = np.zeros((2, 8, 8, 1), np.uint8)
    source = bench.dataset("image", "two.npz", npz_bytes(x=examples, y=np.array([0, 1])))
    with pytest.raises(BadData, match="only one example per class"):
        bench.run(bench.job(FINE_TUNE, source, base=CNN))


def test_one_example_that_is_held_out_is_enough(bench: Bench) -> None:
    examples = np.zeros((10, 8, 8, 1), np.uint8)
    source = bench.dataset("image", "ten.npz", npz_bytes(x=examples, y=np.array([0, *[1] * 9])))
    metrics = bench.run(bench.job(FINE_TUNE, source, base=CNN)).metrics
    assert metrics["source_accuracy"] in (0, 1)
    assert "calibration" not in metrics


def test_table_incompatible_with_the_base_version_is_bad_data(bench: Bench) -> None:
    job = bench.job(FINE_TUNE, bench.dataset("tabular", "first.csv", table(True)))
    version = bench.publish(job, bench.run(job))
    other = bench.dataset("tabular", "other.csv", table(True).replace(b"pressure", b"weight"))
    with pytest.raises(BadData, match=r"other\.csv.*pressure"):
        bench.run(bench.job(FINE_TUNE, other, base={"model": "toy:1"}, base_version_id=version.id))


def test_device_is_selected_by_the_settings() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
