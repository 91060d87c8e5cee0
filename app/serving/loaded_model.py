"""A loaded model version, ready to predict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from app.errors import FieldError, InvalidInputs
from app.formats.validation import LIMIT
from app.modalities.base import Encoded, EncodedInputs, Encoder, FastEncoder, Modality, Preprocessing, TensorSpec
from app.serving.onnx_session import OUTPUTS, RunGraph
from app.serving.probabilities import softmax

ROWS_AT_ONCE = 64
"""Rows of one run: bounds the memory of the activations of a large request."""

WARM_UP_ROWS = 8

RUN_OPTIONS = onnxruntime.RunOptions()
"""Shared default options; otherwise each run creates its own."""


@dataclass(frozen=True, slots=True)
class LatencyProfile:
    """Seconds that a run of 1 and of `WARM_UP_ROWS` rows took when the version was loaded."""

    single: float
    warm_batch: float

    def estimate(self, rows: int) -> float:
        """Return the expected seconds of a run with this number of rows."""
        return self.single + (rows - 1) * max(0.0, self.warm_batch - self.single) / (WARM_UP_ROWS - 1)


@dataclass(frozen=True, slots=True)
class SingleArrayInput:
    """The only input of a graph, with a fixed shape: a plain array can hold it. `row_bytes` is the size of one row."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    row_bytes: int
    is_float: bool


@dataclass(slots=True, eq=False, weakref_slot=True)
class LoadedModel:
    """A version that is ready to predict; safe to use from several threads."""

    model: str
    number: int
    modality: Modality
    preprocessing: Preprocessing
    encode: Encoder
    fast_encode: FastEncoder
    specs: Mapping[str, TensorSpec]
    single_array: "SingleArrayInput | None"
    classes: tuple[str, ...]
    threshold: float
    run_graph: RunGraph
    size_bytes: int
    latency: LatencyProfile = field(default=LatencyProfile(0.0, 0.0))
    last_used: float = field(default_factory=monotonic)

    def probabilities(self, raw: Any) -> NDArray[np.float64]:
        """Return class probabilities (n, classes) of raw inputs of the modality."""
        return softmax(self.logits(self.encode(raw)).astype(np.float64))

    def encode_json(self, values: Sequence[Any], strict: bool = False) -> EncodedInputs:
        """Encode JSON inputs for the graph. Raise InvalidInputs; if `strict`, also for what else would be a warning."""
        raw = self.modality.parse(values, self.preprocessing)
        warnings = self.modality.unknown_values(raw, self.preprocessing)
        if strict and warnings:
            raise InvalidInputs(None, [FieldError(warning.location, warning.message) for warning in warnings[:LIMIT]])
        return EncodedInputs(self.encode(raw), warnings)

    def encode_files(self, files: Sequence[bytes]) -> Encoded:
        """Encode uploaded files. Raise InvalidInputs, also if the modality accepts no files."""
        if not self.modality.accepts_files:
            detail = f"{self.modality.name} inputs cannot be sent as files; send JSON"
            raise InvalidInputs(None, [FieldError("/files", detail)])
        return self.encoded_elements(files)

    def encoded_elements(self, elements: Sequence[bytes]) -> Encoded:
        """Encode the elements of a raw tensor. Raise InvalidInputs."""
        return self.encode(self.modality.parse_bytes(elements, self.preprocessing))

    def logits(self, encoded: Encoded) -> NDArray[np.float32]:
        """Return logits (n, classes) of encoded inputs whose first axis is n."""
        rows = row_count(encoded)
        if rows <= ROWS_AT_ONCE:
            return self.run(encoded)
        starts = range(0, rows, ROWS_AT_ONCE)
        chunks = [{name: values[start : start + ROWS_AT_ONCE] for name, values in encoded.items()} for start in starts]
        return np.concatenate([self.run(chunk) for chunk in chunks])

    def run(self, encoded: Encoded) -> NDArray[np.float32]:
        """Return the logits of all rows in one run. Raise InvalidInputs."""
        try:
            logits: NDArray[np.float32] = self.run_graph(OUTPUTS, encoded, RUN_OPTIONS)[0]
        except InvalidArgument as error:  # for example an index beyond the embedding, in a tensor that the client encoded
            raise InvalidInputs("The model cannot take these values.") from error
        return logits


def row_count(encoded: Encoded) -> int:
    """Return the number of encoded inputs."""
    for values in encoded.values():
        return len(values)
    return 0
