"""The files of a model version: their names, and the manifest that describes them.

Decision: the trainer, the server, the exporter and later jobs exchange one typed manifest. Its `format` is checked on read. New
optional keys keep the format; a key that older releases must not ignore gets a new one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from app.errors import ArtifactCorrupt, UnsupportedManifest

Precision = Literal["float32", "float16", "int8"]

GRAPHS: Mapping[Precision, str] = {"float32": "model.onnx", "float16": "model.fp16.onnx", "int8": "model.int8.onnx"}
"""The ONNX file of each precision. Every version has the first; its artifacts list the others."""

WEIGHTS_FILE = "network.safetensors"
MANIFEST_FILE = "manifest.json"
EMBEDDING_FILE = "embedding.parquet"
CONFUSION_FILE = "confusion-{}.parquet"
"""The cells of a confusion matrix that occur, for a domain; of versions with many classes."""
MANIFEST_FORMAT: Literal[1] = 1

TrainingPrecision = Literal["float32", "bfloat16"]
"""The precision of matrix products in training."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input of the graph: NumPy dtype name, and shape without the batch axis; -1 marks a length that varies."""

    dtype: str
    shape: tuple[int, ...]


class Manifest(BaseModel):
    """The description of a version, stored as `manifest.json` and in the version's row.

    `encoder` has id, licence and origin of an encoder of the catalogue. `preprocessing`, `network` and `params` belong to the
    modality, the network and the algorithm, which validate them.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = MANIFEST_FORMAT
    job_id: UUID
    modality: str
    preprocessing: dict[str, JsonValue]
    classes: list[str]
    base: dict[str, JsonValue]
    network: dict[str, JsonValue]
    encoder: dict[str, str] | None = None
    algorithm: str
    params: dict[str, JsonValue]
    training_precision: TrainingPrecision
    temperature: float
    abstention_threshold: float
    inputs: dict[str, InputSpec]
    digests: dict[str, str]
    libraries: dict[str, str]
    metrics: dict[str, JsonValue]

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> "Manifest":
        """Validate a stored manifest. Raise UnsupportedManifest for another format, ArtifactCorrupt for invalid keys."""
        if content.get("format") != MANIFEST_FORMAT:
            raise UnsupportedManifest(
                f"The manifest of this version has format {content.get('format')!r}; this release reads format "
                f"{MANIFEST_FORMAT}. Upgrade the service to the release that made the version, or train the version again."
            )
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            keys = sorted({str(problem["loc"][0]) for problem in error.errors()})
            raise ArtifactCorrupt(
                f"The manifest of this version is not valid: check {', '.join(keys)}. Train the version again."
            ) from error

    def to_json(self) -> dict[str, Any]:
        """Return the content of the stored manifest."""
        return self.model_dump(mode="json")

    def write(self, folder: Path) -> None:
        """Write `manifest.json` into the folder."""
        (folder / MANIFEST_FILE).write_text(json.dumps(self.to_json(), indent=1, sort_keys=True))
