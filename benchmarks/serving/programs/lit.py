"""LitServe: one API a graph, one inference process each, one API server."""

import os
from pathlib import Path
from typing import Any

import litserve
import numpy as np
from numpy.typing import NDArray

from benchmarks.serving.programs.graph import Graph


class GraphApi(litserve.LitAPI):  # type: ignore[misc]  # untyped
    def __init__(self, path: Path) -> None:
        super().__init__(api_path=f"/{path.stem}")
        self.path = path

    def setup(self, device: str) -> None:
        self.graph = Graph(self.path)

    def decode_request(self, request: dict[str, Any]) -> NDArray[Any]:
        return np.array(request["inputs"], self.graph.type)

    def predict(self, values: NDArray[Any]) -> NDArray[np.float32]:
        return self.graph.probabilities(values)

    def encode_response(self, output: NDArray[np.float32]) -> dict[str, Any]:
        return {"probabilities": output.tolist()}


if __name__ == "__main__":
    apis = [GraphApi(path) for path in sorted(Path(os.environ["BENCHMARK_GRAPHS"]).glob("*.onnx"))]
    server = litserve.LitServer(apis, accelerator="cpu", workers_per_device=1)
    port = int(os.environ["BENCHMARK_PORT"])
    server.run(host="127.0.0.1", port=port, num_api_servers=1, log_level="warning", access_log=False, generate_client_file=False)
