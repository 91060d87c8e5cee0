"""MLServer: a runtime of one graph, in the server's own process."""

from pathlib import Path
from typing import Any

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.serving.programs.graph import Graph


class GraphModel(MLModel):  # type: ignore[misc]  # untyped
    async def load(self) -> bool:
        self.graph = Graph(Path(self.settings.parameters.uri))
        return True

    async def predict(self, payload: InferenceRequest) -> Any:
        values = NumpyCodec.decode_input(payload.inputs[0])
        output = NumpyCodec.encode_output("probabilities", self.graph.probabilities(values))
        return InferenceResponse(model_name=self.name, outputs=[output])
