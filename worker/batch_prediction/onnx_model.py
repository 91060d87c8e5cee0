"""A version loaded for batch prediction: its encoder and its ONNX Runtime session. Imports no torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from polars.exceptions import PolarsError

from app.artifacts import GRAPHS, Precision
from app.errors import InvalidInputs
from app.formats.images import InvalidImageError
from app.modalities import MODALITIES
from app.modalities.base import Encoded, Encoder, TensorSpec
from app.serving.onnx_session import OUTPUTS, Device, device_of, open_session, supports
from app.serving.version_files import VersionFiles
from app.settings import Settings
from app.storage import Storage

CHUNK_BYTES, CHUNK_ROWS = 2**23, range(256, 16_384)
"""Size of the encoded inputs (32 bits per number) and number of rows that are read and encoded at once."""
BATCH_BYTES, BATCH_ROWS = {"cpu": 2**20, "cuda": 2**24}, range(16, 1024)
"""The same for one run of the graph, whose activations take many times that size."""
ASSUMED_LENGTH = 1024
"""Assumed length of an axis that varies."""
ENCODING_ERRORS = (InvalidInputs, InvalidImageError, PolarsError, ValueError, OverflowError)

EncodedRows = tuple[int, Encoded | str]
"""A row count with the encoded rows, or one row with its error."""
PredictedRows = tuple[int, NDArray[np.float32] | str]
"""A row count with the logits (n, classes), or with the error."""


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A loaded version. It takes `chunk_rows` rows at once and runs the graph on `batch_rows` of them at a time.

    It abstains if its confidence is below `threshold`.
    """

    encode: Encoder
    session: onnxruntime.InferenceSession
    classes: tuple[str, ...]
    threshold: float
    chunk_rows: int
    batch_rows: int

    def logits(self, encoded: Encoded) -> NDArray[np.float32]:
        """Compute the logits (n, classes) of n encoded rows."""
        rows = len(next(iter(encoded.values())))
        parts = []
        for start in range(0, rows, self.batch_rows):
            batch = {name: values[start : start + self.batch_rows] for name, values in encoded.items()}
            parts.append(self.session.run(OUTPUTS, batch)[0])
        return np.concatenate(parts) if len(parts) != 1 else parts[0]

    def predict(self, chunk: EncodedRows) -> PredictedRows:
        """Compute the logits of encoded rows. Keep the error of a row that could not be encoded."""
        rows, encoded = chunk
        return rows, encoded if isinstance(encoded, str) else self.logits(encoded)

    def encode_rows(self, inputs: Any, rows: int) -> Iterator[EncodedRows]:
        """Yield the encoded rows in chunks, and each row that cannot be encoded on its own with the error."""
        try:
            encoded = self.encode(inputs)
        except ENCODING_ERRORS as error:
            if rows == 1:
                yield 1, str(error)
                return
        else:
            yield rows, encoded
            return
        half = rows // 2
        yield from self.encode_rows(inputs[:half], half)
        yield from self.encode_rows(inputs[half:], rows - half)


def load(version: VersionFiles, precision: Precision, settings: Settings, storage: Storage, folder: Path) -> OnnxModel:
    """Load a version, on the GPU if the settings allow it and the runtime can use one. Raise ArtifactCorrupt."""
    graph = GRAPHS[precision]
    manifest = version.manifest
    modality = MODALITIES[manifest.modality]
    preprocessing = modality.preprocessing.model_validate(manifest.preprocessing)
    version.copy(storage, (graph, *preprocessing.files), folder)
    session = _session(folder / graph, settings)
    specs = modality.specs(preprocessing)
    return OnnxModel(
        modality.encoder(preprocessing, folder),
        session,
        tuple(manifest.classes),
        manifest.abstention_threshold,
        chunk_rows=_rows(specs, CHUNK_BYTES, CHUNK_ROWS),
        batch_rows=_rows(specs, BATCH_BYTES[device_of(session)], BATCH_ROWS),
    )


def _session(path: Path, settings: Settings) -> onnxruntime.InferenceSession:
    device: Device = "cuda" if settings.device != "cpu" and supports("cuda") else "cpu"
    return open_session(path, settings.train_threads, device)


def _rows(specs: dict[str, TensorSpec], max_bytes: int, allowed: range) -> int:
    numbers = sum(prod(size if size > 0 else ASSUMED_LENGTH for size in spec.shape) for spec in specs.values())
    return max(allowed.start, min(allowed.stop, max_bytes // (4 * numbers)))
