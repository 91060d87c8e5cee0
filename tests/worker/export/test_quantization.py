"""The graph of every network, its float16 and int8 copies, and the decision to keep them."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.algorithms import PARAMS
from app.algorithms.base import AlgorithmParams
from app.artifacts import GRAPHS, Precision
from app.modalities import MODALITIES
from app.modalities.base import Encoded
from app.modalities.tabular import TabularPreprocessing
from app.networks.mlp import MlpParams
from app.networks.transformers import TransformersParams
from app.preprocessing.fitted_columns import NumberColumn
from app.serving.onnx_session import open_session
from tests.support.network_cases import CASES, Case, make_inputs
from tests.support.pretrained_encoders import ENCODERS, IMAGES, TEXTS, pixels, tokens
from tests.support.toy_problems import table
from worker import networks
from worker.data.examples import EncodedDataset
from worker.data.splits import DomainData, split_source
from worker.export import quantization
from worker.export.onnx import export
from worker.networks.base import Inputs, Network

TEMPERATURE = 1.7
MAX_DIFFERENCE: dict[str, float] = {"float16": 0.01, "int8": 0.15}
"""Allowed difference of logits, as a fraction of the largest."""
COPIES: list[Precision] = ["float16", "int8"]


def logits(path: Path, inputs: Encoded) -> NDArray[np.float32]:
    result: NDArray[np.float32] = open_session(path, 1).run(["logits"], inputs)[0]
    return result


def write(folder: Path, precision: Precision, batch: Encoded) -> Path:
    copy = folder / GRAPHS[precision]
    if precision == "int8":
        quantization.quantize(folder / "model.onnx", copy, [batch])
    else:
        quantization.to_float16(folder / "model.onnx", copy)
    return copy


def check(network: Network, inputs: Inputs, specs: Any, folder: Path, copies: Sequence[Precision] = COPIES) -> None:
    """Export the network and check that its copies divide by the temperature and take batches of any size."""
    export(network, inputs, folder, specs, TEMPERATURE)
    encoded = {name: tensor.numpy() for name, tensor in inputs.items()}
    with torch.no_grad():
        expected = network.eval()(inputs).numpy() / TEMPERATURE
    for precision in copies:
        copy, max_difference = write(folder, precision, encoded), MAX_DIFFERENCE[precision] * np.abs(expected).max()
        assert np.abs(logits(copy, encoded) - expected).max() < max_difference
        one = {name: values[2:3] for name, values in encoded.items()}
        assert np.abs(logits(copy, one) - expected[2:3]).max() < max_difference


@pytest.mark.parametrize("name", CASES)
def test_copies_of_every_network_agree_with_it(name: str, tmp_path: Path) -> None:
    params, preprocessing, specs = CASES[name]
    torch.manual_seed(0)
    network = networks.build(params, preprocessing, specs, 3)
    network(make_inputs(specs, 64))  # initialises the statistics of the norms
    check(network, make_inputs(specs, 64), specs, tmp_path)


@pytest.mark.parametrize("name", ENCODERS)
def test_copies_of_every_pretrained_encoder_agree_with_it(name: str, tmp_path: Path) -> None:
    is_text = name.startswith("text")
    params = TransformersParams(pretrained="no-owner/no-model", config=json.loads(ENCODERS[name].to_json_string()))
    preprocessing = TEXTS if is_text else IMAGES
    specs = MODALITIES[preprocessing.modality].specs(preprocessing)
    torch.manual_seed(0)
    check(networks.build(params, preprocessing, specs, 3), tokens() if is_text else pixels(), specs, tmp_path)


def test_copies_are_smaller_and_print_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    params, preprocessing, specs = CASES["cnn"]
    check(networks.build(params, preprocessing, specs, 3), make_inputs(specs, 8), specs, tmp_path)
    whole, half, quarter = ((tmp_path / name).stat().st_size for name in GRAPHS.values())
    assert half < 0.55 * whole
    assert quarter < 0.35 * whole
    assert capfd.readouterr() == ("", "")


def tables(mean: float, std: float) -> Case:
    columns = tuple(NumberColumn(name=f"c{index}", mean=mean, std=std) for index in range(3))
    preprocessing = TabularPreprocessing(columns=columns)
    return MlpParams(), preprocessing, MODALITIES["tabular"].specs(preprocessing)


def test_float16_copy_prepares_large_numbers_in_float32(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = networks.build(*tables(5e6, 3.0), 3)
    check(network, {"numbers": 5e6 + 3 * torch.randn(64, 3).round()}, tables(5e6, 3.0)[2], tmp_path, ["float16"])


def params(**values: Any) -> AlgorithmParams:
    return PARAMS["source_only"].model_validate({"algorithm": "source_only", "validation_fraction": 0.3, **values})


def quantization_report(params: AlgorithmParams, graph: Path, data: DomainData) -> dict[str, Any]:
    report = quantization.quantize_version(params, graph, data)
    assert report is not None
    return report


@pytest.fixture
def data() -> DomainData:
    return split_source(table(600, 3, target=False), table(400, 3, target=True), None, params())


@torch.no_grad()
def constant_network() -> Network:
    """Return a network that always predicts the same class."""
    network = networks.build(*tables(0.0, 1.0), 3)
    for weights in network.parameters():
        weights.zero_()
    return network


def exported(network: Network, folder: Path) -> Path:
    export(network, {"numbers": torch.randn(8, 3)}, folder, tables(0.0, 1.0)[2])
    return folder


@pytest.fixture(scope="module")
def argmax_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the files of a network that predicts the index of the largest number."""
    network = constant_network()
    first = network.backbone.get_submodule("1.0")
    assert isinstance(first, torch.nn.Linear)
    assert isinstance(network.head, torch.nn.Linear)
    with torch.no_grad():
        first.weight[:3, :3] = torch.eye(3)
        network.head.weight[:, :3] = torch.eye(3)
    return exported(network, tmp_path_factory.mktemp("argmax"))


@pytest.fixture(scope="module")
def constant_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the graph of a network that always predicts the same class."""
    return exported(constant_network(), tmp_path_factory.mktemp("constant")) / "model.onnx"


@pytest.fixture
def graph(tmp_path: Path, argmax_version: Path) -> Path:
    return Path(shutil.copytree(argmax_version, tmp_path / "version")) / "model.onnx"


@pytest.fixture
def broken_float16(monkeypatch: pytest.MonkeyPatch, constant_graph: Path) -> None:
    monkeypatch.setattr(quantization, "to_float16", lambda graph, copy: shutil.copy(constant_graph, copy))


@pytest.mark.parametrize("precision", COPIES)
def test_good_copy_is_kept_and_its_measurements_reported(graph: Path, data: DomainData, precision: Precision) -> None:
    report = quantization_report(params(quantize=precision), graph, data)
    copy = graph.with_name(GRAPHS[precision])
    assert (report["precision"], report["accepted"], report["max_loss"]) == (precision, True, 0.01)
    assert (report["bytes_before"], report["bytes_after"]) == (graph.stat().st_size, copy.stat().st_size)
    assert data.source is not None
    assert data.source.labels is not None
    numbers, labels = (values[data.held_out].numpy() for values in (data.source.inputs["numbers"], data.source.labels))
    for name, path in (("accuracy_before", graph), ("accuracy_after", copy)):
        correct = logits(path, {"numbers": numbers}).argmax(axis=1) == labels
        assert report[name] == pytest.approx(correct.mean())
    assert report["accuracy_before"] > 0.8
    assert max(0, report["accuracy_before"] - report["accuracy_after"]) <= report["loss"] < 0.01
    assert 0.97 < report["agreement"] <= 1


def test_no_copy_is_made_by_default(graph: Path, data: DomainData) -> None:
    assert quantization.quantize_version(params(), graph, data) is None
    assert sorted(path.name for path in graph.parent.iterdir()) == ["model.onnx", "network.safetensors"]


@pytest.mark.usefixtures("broken_float16")
@pytest.mark.parametrize(("tolerance", "accepted"), [(0.5, False), (0.7, True)])
def test_copy_is_kept_up_to_the_allowed_loss(graph: Path, data: DomainData, tolerance: float, accepted: bool) -> None:
    report = quantization_report(params(quantize="float16", max_quantization_loss=tolerance), graph, data)
    assert 0.5 < report["loss"] < 0.7
    assert report["accepted"] is accepted
    assert graph.with_name("model.fp16.onnx").exists() is accepted


def test_copy_that_differs_only_on_the_target_is_rejected(graph: Path, data: DomainData, monkeypatch: pytest.MonkeyPatch) -> None:
    original_labels = quantization._labels  # noqa: SLF001  # the test replaces one step of the measurement

    def changed_labels(path: Path, examples: EncodedDataset, rows: Tensor) -> NDArray[np.int64]:
        labels = original_labels(path, examples, rows)
        return labels if path == graph or examples is data.source else (labels + (np.arange(len(labels)) < 10)) % 3

    monkeypatch.setattr(quantization, "_labels", changed_labels)
    report = quantization_report(params(quantize="float16"), graph, data)
    assert data.target is not None
    assert report["loss"] == pytest.approx(10 / len(data.target), abs=0.01)
    assert not report["accepted"]


def test_agreement_on_the_target_decides_without_a_source(graph: Path, data: DomainData, request: pytest.FixtureRequest) -> None:
    without_source = DomainData(None, data.training[:0], data.held_out[:0], data.target, None)
    good = quantization_report(params(quantize="float16"), graph, without_source)
    assert "accuracy_before" not in good
    assert (good["accepted"], good["loss"]) == (True, pytest.approx(1 - good["agreement"]))
    request.getfixturevalue("broken_float16")
    assert not quantization_report(params(quantize="float16"), graph, without_source)["accepted"]
