"""Graphs without weights of networks that this machine exported before, for networks of the same shape.

Tracing takes more than a second, whatever the size of the network. The caller compares a restored graph with its network as it
does with a traced one, so a stored graph can be useless but not wrong.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
from torch import Tensor, nn

TRACERS = ("isthmus", "onnx", "onnxscript", "torch")
MAX_GRAPHS = 64
MAX_BYTES = 2**20
"""A larger graph has constants that were computed from its weights."""
DIGEST_BYTES = 32


class GraphCache:
    """A folder of graphs, shared by all processes of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def restore(self, network: nn.Module, inputs: object, path: Path) -> bool:
        """Write the stored graph with the network's weights to `path`; return False if there is none."""
        model = self._load(_file_name(network, inputs))
        if model is None:
            return False
        tensors = _tensors(network)
        for initializer in model.graph.initializer:
            if not initializer.HasField("raw_data"):
                initializer.raw_data = tensors[initializer.name].detach().contiguous().numpy().tobytes()
        path.write_bytes(model.SerializeToString())
        return True

    def store(self, network: nn.Module, inputs: object, path: Path) -> None:
        """Keep the graph at `path`, without the weights of its network."""
        model, tensors = onnx.load(path), _tensors(network)
        for initializer in model.graph.initializer:
            if _is_equal(initializer, tensors.get(initializer.name)):
                initializer.ClearField("raw_data")
        content = model.SerializeToString()
        if len(content) <= MAX_BYTES:
            with suppress(OSError):  # a job does not need the cache
                self._write(_file_name(network, inputs), sha256(content).digest() + content)

    def _load(self, name: str) -> onnx.ModelProto | None:
        """Return a stored graph; None if there is none or it is damaged."""
        try:
            stored = (self._folder / name).read_bytes()
        except OSError:
            return None
        digest, content = stored[:DIGEST_BYTES], stored[DIGEST_BYTES:]
        return onnx.ModelProto.FromString(content) if sha256(content).digest() == digest else None

    def _write(self, name: str, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        files = sorted((file.stat().st_mtime, file) for file in self._folder.iterdir())
        for _, file in files[: max(0, len(files) - MAX_GRAPHS + 1)]:
            file.unlink(missing_ok=True)
        written = self._folder / f"{name}.{os.getpid()}"
        written.write_bytes(content)
        written.replace(self._folder / name)


def _file_name(network: nn.Module, inputs: object) -> str:
    shapes = [(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in _tensors(network).items()]
    parts = [[version(name) for name in TRACERS], repr(network), shapes, inputs]
    return sha256(repr(parts).encode()).hexdigest()


def _tensors(network: nn.Module) -> Mapping[str, Tensor]:
    return dict(network.named_parameters()) | dict(network.named_buffers())


def _is_equal(initializer: onnx.TensorProto, tensor: Tensor | None) -> bool:
    if tensor is None or not initializer.HasField("raw_data"):
        return False
    array, expected = onnx.numpy_helper.to_array(initializer), tensor.detach().numpy()
    return array.dtype == expected.dtype and np.array_equal(array, expected)
