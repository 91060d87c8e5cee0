"""A compact copy of a version's graph: 16-bit floats, or 8-bit integers. Kept only if it knows the held-out source as well.

Two parts stay in float32. What only prepares the inputs does, where the copy is one of 16-bit floats: raw numbers of a table may
be larger than these hold. In 8 bits the last layer does, so that the logits, and with them the confidences, are not rounded to
256 values; its few weights cost nothing.

The 8-bit copy is static, its ranges those of examples of both domains: ONNX Runtime quantises convolutions dynamically too, but
runs them more slowly than in float32. Weights have 7 bits, as the runtime's documentation advises for processors without VNNI,
where sums of 8 bits saturate: the copy may be served on another machine than it was measured on.
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
from worker.data.batches import EncodedDataset
from worker.data.splits import DomainData

BATCH_SIZE = 64
CALIBRATION_ROWS = 256
"""Of each domain."""
MEASURED_ROWS = 2000
"""Of the held-out source and of the target each."""
WEIGHTED = ("Conv", "Gather", "Gemm", "MatMul")
QUANTIZED = (*WEIGHTED, "MaxPool", "Relu")
LAYERS = ("Gemm", "MatMul")


def quantize_version(params: AlgorithmParams, graph: Path, data: DomainData) -> dict[str, Any] | None:
    """Write the copy that the parameters ask for beside the graph, and remove it again if it loses more than they allow.

    Returns what was measured, as `app.schemas.version_metrics.QuantizationReport` documents it; None where no copy is asked for.
    """
    if params.quantize == "none":
        return None
    copy = graph.with_name(GRAPHS[params.quantize])
    if params.quantize == "int8":
        quantize(graph, copy, _calibration(data))
    else:
        to_float16(graph, copy)
    found = {"precision": params.quantize, "max_loss": params.max_quantization_loss, **compare(graph, copy, data)}
    kept = found["loss"] <= params.max_quantization_loss
    if not kept:
        copy.unlink()
    return found | {"accepted": kept}


def quantize(graph: Path, copy: Path, batches: Iterable[Encoded]) -> None:
    """8-bit integers, with the ranges that the activations have on these batches."""
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
    """16-bit floats inside, inputs and outputs as they were."""
    model = onnx.load(graph)
    with warnings.catch_warnings():  # of weights that are rounded; what that costs is measured
        warnings.simplefilter("ignore")
        halved = convert_float_to_float16(model, keep_io_types=True, node_block_list=_input_nodes(model.graph))
    del halved.graph.value_info[:]  # the conversion leaves types of float32 nodes behind that are no longer true
    _drop_redundant_casts(halved.graph)
    tidied = OnnxModel(halved)
    tidied.prune_graph()
    tidied.topological_sort()
    onnx.save(tidied.model, copy)


def compare(graph: Path, copy: Path, data: DomainData) -> dict[str, Any]:
    """Sizes, agreement on the target, accuracies on the held-out source, and `loss`.

    That is the larger of what is lost of the accuracy and by how much more the copy differs on the target than on the source:
    where both differ as often, what it costs is known from the source.
    """
    found: dict[str, Any] = {"bytes_before": graph.stat().st_size, "bytes_after": copy.stat().st_size, "loss": 0.0}
    expected = 0.0
    if data.source is not None and data.source.labels is not None:
        rows = _evenly_spaced(data.held_out, MEASURED_ROWS)
        truth = data.source.labels.cpu()[rows].numpy()
        said = [_labels(path, data.source, rows) for path in (graph, copy)]
        before, after = (int((labels == truth).sum()) for labels in said)
        found |= {"accuracy_before": before / len(rows), "accuracy_after": after / len(rows)}
        found["loss"], expected = max(0, before - after) / len(rows), float((said[0] != said[1]).mean())
    if data.target is not None:
        rows = _evenly_spaced(torch.arange(len(data.target)), MEASURED_ROWS)
        agreed = float((_labels(graph, data.target, rows) == _labels(copy, data.target, rows)).mean())
        found |= {"agreement": agreed, "loss": max(found["loss"], 1 - agreed - expected)}
    return found


class _CalibrationReader:
    """Batches as ONNX Runtime's calibration asks for them."""

    def __init__(self, batches: Iterator[Encoded]) -> None:
        self._batches = batches

    def get_next(self) -> Encoded | None:
        return next(self._batches, None)


def _calibration(data: DomainData) -> Iterator[Encoded]:
    if data.source is not None:
        yield from _batches(data.source, _evenly_spaced(data.training, CALIBRATION_ROWS))
    if data.target is not None:
        yield from _batches(data.target, _evenly_spaced(torch.arange(len(data.target)), CALIBRATION_ROWS))


def _evenly_spaced(indices: Tensor, most: int) -> Tensor:
    """At most so many of the indices, from their first to their last."""
    return indices[:: max(1, -(-len(indices) // most))]


def _batches(examples: EncodedDataset, rows: Tensor) -> Iterator[Encoded]:
    for part in torch.split(rows, BATCH_SIZE):
        inputs, _ = examples.gather(part, torch.device("cpu"))
        yield {name: values.numpy() for name, values in inputs.items()}


def _labels(path: Path, examples: EncodedDataset, rows: Tensor) -> NDArray[np.int64]:
    """Class numbers (n,) that the graph gives; -1 where it has no finite answer."""
    session = open_session(path, torch.get_num_threads())
    logits = np.concatenate([session.run(OUTPUTS, batch)[0] for batch in _batches(examples, rows)])
    return np.where(np.isfinite(logits).all(axis=1), logits.argmax(axis=1), -1)


def _last_layer(graph: onnx.GraphProto) -> list[str]:
    """The nodes from the last layer on."""
    start = max(place for place, node in enumerate(graph.node) if node.op_type in LAYERS)
    return [node.name for node in graph.node[start:]]


def _input_nodes(graph: onnx.GraphProto) -> list[str]:
    """The nodes that work on inputs no weights were applied to yet."""
    raw, names = {value.name for value in graph.input}, []
    for node in graph.node:
        if node.op_type not in WEIGHTED and raw.intersection(node.input):
            raw.update(node.output)
            names.append(node.name)
    return names


def _drop_redundant_casts(graph: onnx.GraphProto) -> None:
    """Undo what the conversion does between nodes that it leaves in float32: it rounds to 16 bits and back, inputs too."""
    made = {node.name: node for node in graph.node if node.op_type == "Cast"}
    halves = {
        node.output[0]: node.input[0]
        for name, node in made.items()
        if name.endswith("_cast_to_fp16_node") or name.startswith("graph_input_cast")
    }
    wholes = {
        node.output[0]: halves[node.input[0]]
        for name, node in made.items()
        if name.endswith("_cast_to_fp32_node") and node.input[0] in halves
    }
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = wholes.get(name, name)
