"""Graphs that are restored with the weights of another network of the same shape."""

from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from tests.support.network_cases import CASES, make_inputs
from worker import networks
from worker.export import onnx as exporter
from worker.export.graph_cache import GraphCache
from worker.networks.base import Network


def make(name: str, seed: int, classes: int = 3) -> Network:
    params, preprocessing, specs = CASES[name]
    torch.manual_seed(seed)
    network = networks.build(params, preprocessing, specs, classes)
    with torch.no_grad():  # as if trained: equal tensors of a graph are merged
        for tensor in [*network.parameters(), *network.buffers()]:
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand(tensor.shape))
    return network


def export(folder: Path, name: str, network: Network, temperature: float = 1.0) -> int:
    """Export to the folder, with the cache beside it, and return how often the network was traced."""
    folder.mkdir()
    specs = CASES[name][2]
    cache = GraphCache(folder.parent / "graphs")
    with patch.object(exporter, "_write_graph", wraps=exporter._write_graph) as trace:  # noqa: SLF001  # counts the calls
        exporter.export(network, make_inputs(specs, 8), folder, specs, temperature, cache)
    return trace.call_count


@pytest.mark.parametrize("name", ["cnn", "resnet", "vgg", "mlp of a table", "mlp of texts"])
def test_network_of_a_known_shape_is_not_traced(name: str, tmp_path: Path) -> None:
    """The export compares the restored graph with the network, or raises."""
    assert export(tmp_path / "first", name, make(name, seed=0), temperature=0.5) == 1
    assert export(tmp_path / "second", name, make(name, seed=1), temperature=2.5) == 0
    assert all(file.stat().st_size < 200_000 for file in (tmp_path / "graphs").iterdir())


def test_network_of_another_shape_is_traced(tmp_path: Path) -> None:
    name = "mlp of numbers"
    assert export(tmp_path / "first", name, make(name, seed=0)) == 1
    assert export(tmp_path / "second", name, make(name, seed=0, classes=4)) == 1


def test_graph_that_does_not_fit_is_replaced(tmp_path: Path) -> None:
    """A hook is in no weight and not in the printed network."""
    name = "mlp of numbers"
    assert export(tmp_path / "first", name, make(name, seed=0)) == 1
    changed = make(name, seed=0)
    changed.head.register_forward_hook(lambda _, __, logits: logits * 2)
    assert export(tmp_path / "second", name, changed) == 1
    assert export(tmp_path / "third", name, changed) == 0


def test_damaged_graph_is_replaced(tmp_path: Path) -> None:
    name = "mlp of numbers"
    assert export(tmp_path / "first", name, make(name, seed=0)) == 1
    (file,) = (tmp_path / "graphs").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert export(tmp_path / "second", name, make(name, seed=0)) == 1
    assert export(tmp_path / "third", name, make(name, seed=0)) == 0
