"""Versions that can predict: a small random network of each modality, exported and stored as by a job."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from app.artifacts import GRAPHS, InputSpec, Manifest
from app.db.registry_revision import bump_revision
from app.db.tables import ArtifactRow, VersionRow
from app.modalities import MODALITIES
from app.modalities.base import Chunk, Encoder
from app.networks import NETWORKS
from app.storage import Storage
from tests.support.factories import make_image, make_manifest, make_version
from worker import networks
from worker.export.graph_cache import GraphCache
from worker.export.onnx import export
from worker.export.quantization import quantize
from worker.networks.base import Network

CLASSES = ["eight", "nine", "ten"]
EXAMPLES: dict[str, Any] = {
    "image": [make_image(10, 10, seed=seed) for seed in range(6)],
    "tabular": pl.DataFrame({"age": [30.0, None, 51.0, 44.0, 28.0, 60.0], "sex": ["f", "m", "f", None, "m", "m"]}),
    "text": ["a fine book", "what a waste", "dull and long", "a joy to read", "fine", "never again, a waste of money"],
}
SMALLER: dict[str, dict[str, Any]] = {
    "image": {"network": "cnn", "input_size": 16},
    "tabular": {"network": "mlp"},
    "text": {"network": "mlp"},
}


@dataclass(frozen=True, slots=True)
class Exported:
    """An exported network with its preprocessing, and the stored files."""

    network: Network
    encode: Encoder
    manifest: Manifest
    folder: Path

    def probabilities(self, raw: Any) -> NDArray[np.float64]:
        """Return the network's own probabilities for raw inputs."""
        with torch.no_grad():
            logits = self.network.eval()({name: torch.from_numpy(array) for name, array in self.encode(raw).items()})
        answers: NDArray[np.float64] = logits.double().softmax(1).numpy()
        return answers


def export_network(modality: str, classes: Sequence[str], folder: Path, seed: int = 0) -> Exported:
    """Export a random network for the examples of this modality with the steps of a job."""
    raw = EXAMPLES[modality]
    params = NETWORKS[SMALLER[modality]["network"]].model_validate(SMALLER[modality])
    kind = MODALITIES[modality]
    preprocessing = kind.fit(_chunks(raw), [], params, None, folder)
    encode, specs = kind.encoder(preprocessing, folder), kind.specs(preprocessing)
    torch.manual_seed(seed)
    network = networks.build(params, preprocessing, specs, len(classes))
    with torch.no_grad():
        for weights in network.head.parameters():  # sharper than at random, so that answers differ from one another
            weights.mul_(10)
    example = {name: torch.from_numpy(array) for name, array in encode(raw).items()}
    export(network, example, folder, specs, graphs=GraphCache(folder.parent / "graphs"))
    manifest = make_manifest(
        modality=modality,
        preprocessing=preprocessing.model_dump(mode="json"),
        classes=list(classes),
        inputs={name: InputSpec(spec.dtype, spec.shape) for name, spec in specs.items()},
    )
    manifest.write(folder)
    return Exported(network, encode, manifest, folder)


def add_int8(exported: Exported) -> Path:
    """Add the int8 copy that a job may create."""
    path = exported.folder / GRAPHS["int8"]
    quantize(exported.folder / GRAPHS["float32"], path, [exported.encode(EXAMPLES[exported.manifest.modality])])
    return path


def _chunks(raw: Any) -> Iterable[Chunk]:
    return [Chunk(raw, None, len(raw), _details(raw))]


def _details(raw: Any) -> dict[str, Any]:
    """Return the kinds of a table's columns, as its check finds them."""
    if not isinstance(raw, pl.DataFrame):
        return {}
    kinds = {name: "number" if dtype.is_numeric() else "category" for name, dtype in raw.schema.items()}
    return {"columns": [{"name": name, "kind": kind} for name, kind in kinds.items()]}


def store_version(session: Session, storage: Storage, exported: Exported, model: str) -> VersionRow:
    """Store the version that a job with these files would register."""
    prefix = f"jobs/{uuid.uuid4()}/1"
    stored = [storage.put(f"{prefix}/{file.name}", file) for file in sorted(exported.folder.iterdir())]
    artifacts = [ArtifactRow(name=file.name, **file.columns()) for file in stored]
    version = make_version(
        session, model=model, modality=exported.manifest.modality, manifest=exported.manifest.to_json(), artifacts=[]
    )
    version.artifacts = artifacts
    session.flush()
    bump_revision(session)
    session.commit()
    return version
