"""The graph of every network, its copies in 16-bit floats and 8-bit integers, and what decides whether these are kept."""

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
from app.modalities.tabular import NumberColumn, TabularPreprocessing
from app.networks.mlp import MlpParams
from app.networks.transformers import TransformersParams
from app.serving.onnx_session import open_session
from tests.support.network_cases import CASES, Case, make_inputs
from tests.support.pretrained_encoders import ENCODERS, IMAGES, TEXTS, pixels, tokens
from tests.support.toy_problems import table
from worker import networks
from worker.data.batches import EncodedDataset
from worker.data.splits import DomainData, split_source
from worker.export import quantization
from worker.export.onnx import export
from worker.networks.base import Inputs, Network

TEMPERATURE = 1.7
FAR: dict[str, float] = {"float16": 0.01, "int8": 0.15}
"""What logits may differ by, as a part of the largest."""
COPIES: list[Precision] = ["float16", "int8"]


def logits(path: Path, inputs: Encoded) -> NDArray[np.float32]:
    found: NDArray[np.float32] = open_session(path, 1).run(["logits"], inputs)[0]
    return found


def write(folder: Path, precision: Precision, batch: Encoded) -> Path:
    copy = folder / GRAPHS[precision]
    if precision == "int8":
        quantization.quantize(folder / "model.onnx", copy, [batch])
    else:
        quantization.to_float16(folder / "model.onnx", copy)
    return copy


def check(network: Network, inputs: Inputs, specs: Any, folder: Path, copies: Sequence[Precision] = COPIES) -> None:
    """The graph, which proves itself, and its copies divide by the temperature and take batches of any size."""
    export(network, inputs, folder, specs, TEMPERATURE)
    encoded = {name: tensor.numpy() for name, tensor in inputs.items()}
    with torch.no_grad():
        expected = network.eval()(inputs).numpy() / TEMPERATURE
    for precision in copies:
        copy, far = write(folder, precision, encoded), FAR[precision] * np.abs(expected).max()
        assert np.abs(logits(copy, encoded) - expected).max() < far
        one = {name: values[2:3] for name, values in encoded.items()}
        assert np.abs(logits(copy, one) - expected[2:3]).max() < far


@pytest.mark.parametrize("name", CASES)
def test_every_network_has_a_graph_and_copies_that_answer_alike(name: str, tmp_path: Path) -> None:
    params, preprocessing, specs = CASES[name]
    torch.manual_seed(0)
    network = networks.build(params, preprocessing, specs, 3)
    network(make_inputs(specs, 64))  # gives the norms some statistics
    check(network, make_inputs(specs, 64), specs, tmp_path)


@pytest.mark.parametrize("name", ENCODERS)
def test_every_pretrained_encoder_has_a_graph_and_copies_that_answer_alike(name: str, tmp_path: Path) -> None:
    is_text = name.startswith("text")
    params = TransformersParams(pretrained="nobody/nothing", config=json.loads(ENCODERS[name].to_json_string()))
    preprocessing = TEXTS if is_text else IMAGES
    specs = MODALITIES[preprocessing.modality].specs(preprocessing)
    torch.manual_seed(0)
    check(networks.build(params, preprocessing, specs, 3), tokens() if is_text else pixels(), specs, tmp_path)


def test_copies_are_smaller_and_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    params, preprocessing, specs = CASES["cnn"]
    check(networks.build(params, preprocessing, specs, 3), make_inputs(specs, 8), specs, tmp_path)
    whole, half, quarter = ((tmp_path / name).stat().st_size for name in GRAPHS.values())
    assert half < 0.55 * whole
    assert quarter < 0.35 * whole
    assert capfd.readouterr() == ("", "")


def tables(mean: float, std: float) -> Case:
    columns = tuple(NumberColumn(name=f"c{place}", mean=mean, std=std) for place in range(3))
    preprocessing = TabularPreprocessing(columns=columns)
    return MlpParams(), preprocessing, MODALITIES["tabular"].specs(preprocessing)


def test_numbers_that_16_bits_do_not_hold_are_prepared_in_32(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = networks.build(*tables(5e6, 3.0), 3)
    check(network, {"numbers": 5e6 + 3 * torch.randn(64, 3).round()}, tables(5e6, 3.0)[2], tmp_path, ["float16"])


def params(**values: Any) -> AlgorithmParams:
    return PARAMS["source_only"].model_validate({"algorithm": "source_only", "validation_fraction": 0.3, **values})


def made(params: AlgorithmParams, graph: Path, data: DomainData) -> dict[str, Any]:
    found = quantization.quantize_version(params, graph, data)
    assert found is not None
    return found


@pytest.fixture
def data() -> DomainData:
    return split_source(table(600, 3, target=False), table(400, 3, target=True), None, params())


@torch.no_grad()
def silent_network() -> Network:
    """One that answers everything with the same class."""
    network = networks.build(*tables(0.0, 1.0), 3)
    for weights in network.parameters():
        weights.zero_()
    return network


def exported(network: Network, folder: Path) -> Path:
    export(network, {"numbers": torch.randn(8, 3)}, folder, tables(0.0, 1.0)[2])
    return folder


@pytest.fixture(scope="module")
def looking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a network that looks which number is the largest."""
    network = silent_network()
    first = network.backbone.get_submodule("1.0")
    assert isinstance(first, torch.nn.Linear)
    assert isinstance(network.head, torch.nn.Linear)
    with torch.no_grad():
        first.weight[:3, :3] = torch.eye(3)
        network.head.weight[:, :3] = torch.eye(3)
    return exported(network, tmp_path_factory.mktemp("looking"))


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The graph of a network that answers everything with the same class."""
    return exported(silent_network(), tmp_path_factory.mktemp("silent")) / "model.onnx"


@pytest.fixture
def graph(tmp_path: Path, looking: Path) -> Path:
    return Path(shutil.copytree(looking, tmp_path / "version")) / "model.onnx"


@pytest.fixture
def halved_badly(monkeypatch: pytest.MonkeyPatch, silent: Path) -> None:
    monkeypatch.setattr(quantization, "to_float16", lambda graph, copy: shutil.copy(silent, copy))


@pytest.mark.parametrize("precision", COPIES)
def test_a_good_copy_is_kept_with_what_was_measured(graph: Path, data: DomainData, precision: Precision) -> None:
    found = made(params(quantize=precision), graph, data)
    copy = graph.with_name(GRAPHS[precision])
    assert (found["precision"], found["accepted"], found["max_loss"]) == (precision, True, 0.01)
    assert (found["bytes_before"], found["bytes_after"]) == (graph.stat().st_size, copy.stat().st_size)
    assert data.source is not None
    assert data.source.labels is not None
    numbers, labels = (values[data.held_out].numpy() for values in (data.source.inputs["numbers"], data.source.labels))
    for name, path in (("accuracy_before", graph), ("accuracy_after", copy)):
        right = logits(path, {"numbers": numbers}).argmax(axis=1) == labels
        assert found[name] == pytest.approx(right.mean())
    assert found["accuracy_before"] > 0.8
    assert max(0, found["accuracy_before"] - found["accuracy_after"]) <= found["loss"] < 0.01
    assert 0.97 < found["agreement"] <= 1


def test_none_is_made_where_none_is_asked_for(graph: Path, data: DomainData) -> None:
    assert quantization.quantize_version(params(), graph, data) is None
    assert sorted(path.name for path in graph.parent.iterdir()) == ["model.onnx", "network.safetensors"]


@pytest.mark.usefixtures("halved_badly")
@pytest.mark.parametrize(("tolerance", "kept"), [(0.5, False), (0.7, True)])
def test_a_copy_is_kept_up_to_the_tolerance(graph: Path, data: DomainData, tolerance: float, kept: bool) -> None:
    found = made(params(quantize="float16", max_quantization_loss=tolerance), graph, data)
    assert 0.5 < found["loss"] < 0.7
    assert found["accepted"] is kept
    assert graph.with_name("model.fp16.onnx").exists() is kept


def test_a_copy_that_differs_on_the_target_alone_is_not_kept(
    graph: Path, data: DomainData, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = quantization._labels

    def otherwise(path: Path, examples: EncodedDataset, rows: Tensor) -> NDArray[np.int64]:
        found = said(path, examples, rows)
        return found if path == graph or examples is data.source else (found + (np.arange(len(found)) < 10)) % 3

    monkeypatch.setattr(quantization, "_labels", otherwise)
    found = made(params(quantize="float16"), graph, data)
    assert data.target is not None
    assert found["loss"] == pytest.approx(10 / len(data.target), abs=0.01)
    assert not found["accepted"]


def test_without_a_source_the_answers_on_the_target_decide(graph: Path, data: DomainData, request: pytest.FixtureRequest) -> None:
    alone = DomainData(None, data.training[:0], data.held_out[:0], data.target, None)
    good = made(params(quantize="float16"), graph, alone)
    assert "accuracy_before" not in good
    assert (good["accepted"], good["loss"]) == (True, pytest.approx(1 - good["agreement"]))
    request.getfixturevalue("halved_badly")
    assert not made(params(quantize="float16"), graph, alone)["accepted"]
