import copy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from app.modalities.base import TensorSpec
from worker.export.onnx import ExportMismatchError, export
from worker.networks.base import Inputs, Network

IMAGE = {"pixels": TensorSpec("uint8", (12, 12, 3))}
TABLE = {"numbers": TensorSpec("float32", (4,)), "categories": TensorSpec("int64", (2,))}
TERMS = {"terms": TensorSpec("int64", (-1,)), "weights": TensorSpec("float32", (-1,))}


class ImageBackbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.dropout = nn.Dropout(0.5)

    def forward(self, inputs: Inputs) -> Tensor:
        pixels = inputs["pixels"].permute(0, 3, 1, 2).to(self.convolution.weight.dtype) / 255
        maps: Tensor = self.dropout(self.norm(self.convolution(pixels)).relu())
        return maps.mean((2, 3))


class TableBackbone(nn.Module):
    """A backbone that imputes missing numbers in the graph and embeds categories."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 2)

    def forward(self, inputs: Inputs) -> Tensor:
        numbers = inputs["numbers"]
        missing = numbers.isnan()
        imputed = torch.where(missing, torch.zeros_like(numbers), numbers)
        return torch.cat([imputed, missing.float(), self.embedding(inputs["categories"]).flatten(1)], dim=1)


class TermsBackbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 6)

    def forward(self, inputs: Inputs) -> Tensor:
        weighted: Tensor = self.embedding(inputs["terms"]) * inputs["weights"].unsqueeze(-1)
        return weighted.sum(1)


class CountingBackbone(nn.Module):
    """A backbone with another output at every call, which a graph cannot reproduce."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, inputs: Inputs) -> Tensor:
        self.calls += 1
        return inputs["numbers"] * self.calls


def network(backbone: nn.Module, width: int) -> Network:
    torch.manual_seed(0)
    return Network(backbone, nn.Linear(width, 5), nn.Linear(5, 3), 5)


def pixels(rows: int) -> Inputs:
    return {"pixels": torch.randint(0, 256, (rows, 12, 12, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(rows))}


def terms(rows: int, length: int) -> Inputs:
    generator = torch.Generator().manual_seed(rows)
    return {
        "terms": torch.randint(0, 50, (rows, length), generator=generator),
        "weights": torch.rand((rows, length), generator=generator),
    }


def graph_logits(folder: Path, inputs: Inputs) -> Tensor:
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {name: tensor.numpy() for name, tensor in inputs.items()})
    return torch.from_numpy(logits)


def test_graph_equals_the_network_in_evaluation_mode(tmp_path: Path) -> None:
    trained = network(ImageBackbone(), 6)
    trained(pixels(8))  # updates the running statistics
    export(trained, pixels(4), tmp_path, IMAGE)

    assert trained.training, "the trainer's network is not changed"
    for rows in (1, 2, 7, 33):
        torch.testing.assert_close(graph_logits(tmp_path, pixels(rows)), trained.eval()(pixels(rows)), atol=1e-5, rtol=1e-4)
        trained.train()


def test_graph_has_named_inputs_and_a_dynamic_batch(tmp_path: Path) -> None:
    graph, weights = export(network(TableBackbone(), 12), table(3), tmp_path, TABLE)

    assert sorted(path.name for path in tmp_path.iterdir()) == [graph.name, weights.name] == ["model.onnx", "network.safetensors"]
    proto = onnx.load(graph)
    assert [value.name for value in proto.graph.input] == ["numbers", "categories"]
    assert [value.name for value in proto.graph.output] == ["logits"]
    assert {value.type.tensor_type.shape.dim[0].dim_param for value in proto.graph.input} == {"batch"}


def table(rows: int) -> Inputs:
    numbers = torch.randn((rows, 4), generator=torch.Generator().manual_seed(rows))
    numbers[0, 1] = np.nan
    return {"numbers": numbers, "categories": torch.arange(2 * rows).reshape(rows, 2) % 7}


def test_graph_handles_missing_numbers_and_categories(tmp_path: Path) -> None:
    trained = network(TableBackbone(), 12)
    export(trained, table(1), tmp_path, TABLE)

    torch.testing.assert_close(graph_logits(tmp_path, table(6)), trained(table(6)))


def test_varying_length_is_a_dynamic_axis(tmp_path: Path) -> None:
    trained = network(TermsBackbone(), 6)
    export(trained, terms(4, 10), tmp_path, TERMS)

    for rows, length in ((1, 1), (3, 25), (5, 5)):
        torch.testing.assert_close(
            graph_logits(tmp_path, terms(rows, length)), trained(terms(rows, length)), atol=1e-5, rtol=1e-4
        )


def test_bfloat16_network_is_exported_as_float32(tmp_path: Path) -> None:
    trained = network(ImageBackbone(), 6).to(torch.bfloat16)
    export(trained, pixels(4), tmp_path, IMAGE)

    stored = load_file(tmp_path / "network.safetensors")
    assert {tensor.dtype for tensor in stored.values() if tensor.is_floating_point()} == {torch.float32}
    restored = copy.deepcopy(trained).float().eval()
    restored.load_state_dict(stored)
    torch.testing.assert_close(graph_logits(tmp_path, pixels(4)), restored(pixels(4)), atol=1e-5, rtol=1e-4)


def test_export_fails_if_graph_and_network_differ(tmp_path: Path) -> None:
    with pytest.raises(ExportMismatchError, match=r"numbers \(\d, 4\)"):
        export(network(CountingBackbone(), 4), {"numbers": torch.ones(4, 4)}, tmp_path, TABLE)


def test_export_fails_for_nan_logits(tmp_path: Path) -> None:
    broken = network(TermsBackbone(), 6)
    broken.head.bias.data.fill_(torch.nan)  # type: ignore[operator]
    with pytest.raises(ExportMismatchError):
        export(broken, terms(4, 10), tmp_path, TERMS)


def test_export_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    export(network(TermsBackbone(), 6), terms(4, 10), tmp_path, TERMS)

    assert capfd.readouterr() == ("", "")
