"""BentoML: one service, one route a graph, one worker."""

import os
from pathlib import Path

import bentoml
import numpy as np
from numpy.typing import NDArray

from benchmarks.serving.programs.graph import Graph

FOLDER = Path(os.environ["BENCHMARK_GRAPHS"])


@bentoml.service(workers=1, logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Graphs:
    def __init__(self) -> None:
        self.graphs = {path.stem: Graph(path) for path in FOLDER.glob("*.onnx")}

    @bentoml.api(route="/lenet")  # type: ignore[untyped-decorator]
    def lenet(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.graphs["lenet"].probabilities(inputs.astype(np.uint8, copy=False))

    @bentoml.api(route="/mlp")  # type: ignore[untyped-decorator]
    def mlp(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.graphs["mlp"].probabilities(inputs.astype(np.float32, copy=False))
