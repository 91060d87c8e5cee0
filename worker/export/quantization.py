"""A quantized copy of a version's graph in float16 or int8. It is kept only if its accuracy loss is small enough.

Two parts stay in float32. In a float16 copy, the preparation of inputs does, because raw numbers of a table may exceed the
range of float16. In an int8 copy, the last layer does, so that logits and confidences are not rounded to 256 values.

The int8 copy is static, with ranges from examples of both domains: ONNX Runtime runs dynamically quantized convolutions more
slowly than float32. Weights have 7 bits, as its documentation recommends for processors without VNNI, where sums of 8 bits
saturate. The copy may be served on another machine than it was measured on.
"""

import tempfile
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel
from torch import Tensor

from app.algorithms.base import AlgorithmParams
from app.artifacts import GRAPHS
from app.modalities.base import Encoded
from app.serving.onnx_session import OUTPUTS, open_session
from worker.data.examples import EncodedDataset
from worker.data.splits import DomainData

BATCH_SIZE = 64
CALIBRATION_ROWS = 256
"""Number of rows of each domain for the ranges of activations."""
MEASURED_ROWS = 2000
"""Maximum number of rows of the held-out source and of the target for the comparison."""
WEIGHTED = ("Conv", "Gather", "Gemm", "MatMul")
QUANTIZED = (*WEIGHTED, "MaxPool", "Relu")
LAYERS = ("Gemm", "MatMul")


def quantize_version(params: AlgorithmParams, graph: Path, data: DomainData) -> dict[str, Any] | None:
    """Write the requested copy beside the graph, and delete it if it loses more than the parameters allow.

    Returns the measurements (`app.schemas.version_metrics.QuantizationReport`), or None if no copy is requested.
    """
    if params.quantize == "none":
        return None
    copy = graph.with_name(GRAPHS[params.quantize])
    if params.quantize == "int8":
        quantize(graph, copy, _calibration(data))
    else:
        to_float16(graph, copy)
    report = {"precision": params.quantize, "max_loss": params.max_quantization_loss, **compare(graph, copy, data)}
    accepted = report["loss"] <= params.max_quantization_loss
    if not accepted:
        copy.unlink()
    return report | {"accepted": accepted}


def quantize(graph: Path, copy: Path, batches: Iterable[Encoded]) -> None:
    """Write an int8 copy, with the ranges of the activations on these batches."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / graph.name
        quant_pre_process(graph, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            copy,
            _CalibrationReader(iter(batches)),
            op_types_to_quantize=QUANTIZED,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            nodes_to_exclude=_last_layer(onnx.load(prepared).graph),
        )


def to_float16(graph: Path, copy: Path) -> None:
    """Write a float16 copy with unchanged inputs and outputs."""
    model = onnx.load(graph)
    with warnings.catch_warnings():  # about rounded weights, whose effect is measured
        warnings.simplefilter("ignore")
        float16_model = convert_float_to_float16(model, keep_io_types=True, node_block_list=_input_nodes(model.graph))
    del float16_model.graph.value_info[:]  # the conversion keeps outdated types of float32 nodes
    _drop_redundant_casts(float16_model.graph)
    optimizer = OnnxModel(float16_model)
    optimizer.prune_graph()
    optimizer.topological_sort()
    onnx.save(optimizer.model, copy)


def compare(graph: Path, copy: Path, data: DomainData) -> dict[str, Any]:
    """Measure sizes, agreement on the target, accuracies on the held-out source, and `loss`.

    `loss` is the larger of the accuracy loss and the excess disagreement on the target over the source. If the copy disagrees
    as often on both, the accuracy loss on the source is representative.
    """
    report: dict[str, Any] = {"bytes_before": graph.stat().st_size, "bytes_after": copy.stat().st_size, "loss": 0.0}
    expected = 0.0
    if data.source is not None and data.source.labels is not None:
        rows = _evenly_spaced(data.held_out, MEASURED_ROWS)
        truth = data.source.labels.cpu()[rows].numpy()
        predicted = [_labels(path, data.source, rows) for path in (graph, copy)]
        before, after = (int((labels == truth).sum()) for labels in predicted)
        report |= {"accuracy_before": before / len(rows), "accuracy_after": after / len(rows)}
        report["loss"], expected = max(0, before - after) / len(rows), float((predicted[0] != predicted[1]).mean())
    if data.target is not None:
        rows = _evenly_spaced(torch.arange(len(data.target)), MEASURED_ROWS)
        agreement = float((_labels(graph, data.target, rows) == _labels(copy, data.target, rows)).mean())
        report |= {"agreement": agreement, "loss": max(report["loss"], 1 - agreement - expected)}
    return report


class _CalibrationReader:
    """Batches in the interface of ONNX Runtime's calibration."""

    def __init__(self, batches: Iterator[Encoded]) -> None:
        self._batches = batches

    def get_next(self) -> Encoded | None:
        return next(self._batches, None)


def _calibration(data: DomainData) -> Iterator[Encoded]:
    if data.source is not None:
        yield from _batches(data.source, _evenly_spaced(data.training, CALIBRATION_ROWS))
    if data.target is not None:
        yield from _batches(data.target, _evenly_spaced(torch.arange(len(data.target)), CALIBRATION_ROWS))


def _evenly_spaced(indices: Tensor, max_count: int) -> Tensor:
    """Return at most `max_count` evenly spaced indices."""
    return indices[:: max(1, -(-len(indices) // max_count))]


def _batches(examples: EncodedDataset, rows: Tensor) -> Iterator[Encoded]:
    for part in torch.split(rows, BATCH_SIZE):
        inputs, _ = examples.gather(part, torch.device("cpu"))
        yield {name: values.numpy() for name, values in inputs.items()}


def _labels(path: Path, examples: EncodedDataset, rows: Tensor) -> NDArray[np.int64]:
    """Return the class indices (n,) that the graph predicts, or -1 where its logits are not finite."""
    session = open_session(path, torch.get_num_threads())
    logits = np.concatenate([session.run(OUTPUTS, batch)[0] for batch in _batches(examples, rows)])
    return np.where(np.isfinite(logits).all(axis=1), logits.argmax(axis=1), -1)


def _last_layer(graph: onnx.GraphProto) -> list[str]:
    """Return the nodes from the last layer on."""
    start = max(position for position, node in enumerate(graph.node) if node.op_type in LAYERS)
    return [node.name for node in graph.node[start:]]


def _input_nodes(graph: onnx.GraphProto) -> list[str]:
    """Return the nodes that process inputs before any weights are applied."""
    raw, names = {value.name for value in graph.input}, []
    for node in graph.node:
        if node.op_type not in WEIGHTED and raw.intersection(node.input):
            raw.update(node.output)
            names.append(node.name)
    return names


def _drop_redundant_casts(graph: onnx.GraphProto) -> None:
    """Remove the casts to float16 and back between nodes that stay in float32, and at the inputs."""
    casts = {node.name: node for node in graph.node if node.op_type == "Cast"}
    halves = {
        node.output[0]: node.input[0]
        for name, node in casts.items()
        if name.endswith("_cast_to_fp16_node") or name.startswith("graph_input_cast")
    }
    wholes = {
        node.output[0]: halves[node.input[0]]
        for name, node in casts.items()
        if name.endswith("_cast_to_fp32_node") and node.input[0] in halves
    }
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = wholes.get(name, name)
