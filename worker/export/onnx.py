"""Export of a network: `model.onnx` for serving, `network.safetensors` for further training.

Every export is verified with ONNX Runtime, which serves it. The logits of the graph and the network must agree on batches and
lengths other than the traced ones, or the job fails.
"""

import logging
import sys
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from app.artifacts import GRAPHS, WEIGHTS_FILE
from app.modalities.base import TensorSpec
from app.serving.onnx_session import OUTPUTS, open_session
from worker.export.graph_cache import GraphCache
from worker.export.norm_folding import with_folded_norms
from worker.networks.base import Inputs, Network

OPSET = 18
ONNX_FILE = GRAPHS["float32"]
MAX_ONNX_BYTES = 2**31 - 1
RELATIVE_TOLERANCE = 1e-3
ABSOLUTE_TOLERANCE = 1e-4
TRACED_ROWS = 3
CHECKED_ROWS = (1, 5)

# it warns in every job that torchvision is missing, whose operators are not used
logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)


class ExportMismatchError(Exception):
    """The exported graph does not reproduce the network's logits."""


class TemperatureScaled(nn.Module):
    """A network whose logits are divided by a temperature, which is a tensor of the graph like the weights."""

    temperature: Tensor

    def __init__(self, network: Network, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("temperature", torch.tensor(temperature, dtype=torch.float32))

    def forward(self, inputs: Inputs) -> Tensor:
        logits: Tensor = self.network(inputs)
        return logits / self.temperature


def export(
    network: Network,
    example: Inputs,
    folder: Path,
    specs: Mapping[str, TensorSpec],
    temperature: float = 1.0,
    graphs: GraphCache | None = None,
) -> list[Path]:
    """Write `model.onnx` and `network.safetensors` in float32 and evaluation mode, and verify the graph.

    The graph's inputs are the keys of `example`, a batch of encoded examples. Its output is `logits` (n, classes), divided by
    the temperature. The first axis and the axes that are -1 in `specs` are dynamic. `graphs` spares the tracing of a network of
    a known shape. Raises ExportMismatchError.
    """
    frozen = deepcopy(network).to("cpu", torch.float32).eval().requires_grad_(False)
    example = {name: tensor.detach().cpu() for name, tensor in example.items()}
    weights, graph = folder / WEIGHTS_FILE, folder / ONNX_FILE
    save_file({name: tensor.contiguous().clone() for name, tensor in frozen.state_dict().items()}, weights)
    scaled = frozen if temperature == 1 else TemperatureScaled(frozen, temperature).eval()  # the tracer omits a division by 1
    batches = [example, _resized(example, TRACED_ROWS, specs, 0.75)]
    batches += [_resized(example, rows, specs, 1.0) for rows in CHECKED_ROWS]
    folded, traced = with_folded_norms(scaled), _resized(example, TRACED_ROWS, specs, 0.5)
    inputs = [(name, tensor.dtype, tensor.shape, _dynamic_axes(specs[name])) for name, tensor in traced.items()]
    if graphs is None or not (graphs.restore(folded, inputs, graph) and _is_equivalent(scaled, graph, batches)):
        _write_graph(folded, traced, graph, specs)
        _check_equivalence(scaled, graph, batches)
        if graphs is not None:
            graphs.store(folded, inputs, graph)
    return [graph, weights]


def export_backbone(backbone: nn.Module, example: Inputs, path: Path, specs: Mapping[str, TensorSpec]) -> None:
    """Write the graph from the inputs to the features of a backbone."""
    _write_graph(backbone, _resized(example, TRACED_ROWS, specs, 0.5), path, specs)


def _write_graph(network: nn.Module, example: Inputs, path: Path, specs: Mapping[str, TensorSpec]) -> None:
    parameter_bytes = sum(tensor.nbytes for tensor in network.state_dict().values())
    if parameter_bytes > MAX_ONNX_BYTES:
        raise ExportMismatchError(f"The network has {parameter_bytes} bytes of weights; an ONNX file can hold {MAX_ONNX_BYTES}.")
    shapes = {name: _dynamic_axes(specs[name]) for name in example}
    # the warnings concern tracing, whose result is verified afterwards
    with warnings.catch_warnings(), redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            f=path,
            kwargs={"inputs": example},
            input_names=list(example),
            output_names=OUTPUTS,
            dynamic_shapes={"inputs": shapes},
            opset_version=OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )


def _dynamic_axes(spec: TensorSpec) -> dict[int, str]:
    varying = [axis for axis, size in enumerate(spec.shape, start=1) if size < 0]
    return {0: "batch"} | {axis: f"length_{axis}" for axis in varying}


def _resized(example: Inputs, rows: int, specs: Mapping[str, TensorSpec], fraction: float) -> Inputs:
    """Return `rows` rows of the example, repeated if necessary, with varying axes cut to `fraction` (at least 2)."""
    resized = {}
    for name, tensor in example.items():
        for axis in _dynamic_axes(specs[name]):
            size = rows if axis == 0 else max(2, round(tensor.shape[axis] * fraction))
            tensor = tensor.index_select(axis, torch.arange(size) % tensor.shape[axis])
        resized[name] = tensor
    return resized


def _is_equivalent(network: nn.Module, path: Path, batches: list[Inputs]) -> bool:
    try:
        _check_equivalence(network, path, batches)
    except ExportMismatchError:
        return False
    return True


def _check_equivalence(network: nn.Module, path: Path, batches: list[Inputs]) -> None:
    session = open_session(path, torch.get_num_threads())
    for batch in batches:
        (logits,) = session.run(OUTPUTS, {name: tensor.numpy() for name, tensor in batch.items()})
        _compare(_logits(network, batch), logits, batch)


@torch.no_grad()
def _logits(network: nn.Module, batch: Inputs) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = network(batch).numpy()
    return logits


def _compare(expected: NDArray[np.float32], logits: NDArray[np.float32], batch: dict[str, Tensor]) -> None:
    scale = max(1.0, float(np.abs(expected).max())) if np.isfinite(expected).all() else 0.0
    if np.allclose(logits, expected, rtol=RELATIVE_TOLERANCE, atol=ABSOLUTE_TOLERANCE * scale):
        return
    shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in batch.items())
    difference = float(np.abs(logits - expected).max()) if logits.shape == expected.shape else logits.shape
    raise ExportMismatchError(f"On {shapes} the graph's logits differ from the network's by {difference}.")
