"""An ONNX graph in ONNX Runtime with one thread, as used by all programs."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


def session_of(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Graph:
    """A graph with one input."""

    def __init__(self, path: Path) -> None:
        self.session = session_of(path)
        (only,) = self.session.get_inputs()
        self.name, self.shape, self.type = only.name, only.shape[1:], TYPES[only.type]

    def probabilities(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Compute the output (n, classes) of n inputs."""
        (logits,) = self.session.run(["logits"], {self.name: values.reshape(-1, *self.shape)})
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        answers: NDArray[np.float32] = exponentials / exponentials.sum(axis=1, keepdims=True)
        return answers
