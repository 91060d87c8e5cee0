"""Factories that fill every required field; a test names only the fields it checks."""

import io
import json
import uuid
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.artifacts import Manifest
from app.db.label_tables import LabelRequestRow, LabelRow
from app.db.session import db_now
from app.db.tables import ArtifactRow, DatasetRow, JobRow, ModelRow, VersionRow
from app.job_state import ENDED, LEASED, JobStatus
from app.job_types.adaptation import AdaptationResult
from app.services.leases import Lease
from app.storage import StoredFile


def make_dataset(session: Session, **fields: Any) -> DatasetRow:
    """Add a labelled table of two columns to the database, without a file. `fields` override the defaults."""
    dataset_id = fields.pop("id", uuid.uuid4())
    defaults: dict[str, Any] = {
        "name": "patients",
        "modality": "tabular",
        "filename": "patients.csv",
        "format": "csv",
        "options": {},
        "digest": sha256(dataset_id.bytes).hexdigest(),
        "fingerprint": sha256(dataset_id.bytes).hexdigest(),
        "size_bytes": 1000,
        "storage_key": f"datasets/{dataset_id}/data.csv",
        "rows": 100,
        "labelled": True,
        "classes": {"no": 50, "yes": 50},
        "profile": {
            "columns": [{"name": "age", "kind": "number", "missing": 0}, {"name": "sex", "kind": "category", "missing": 0}],
            "label": "label",
        },
    }
    row = DatasetRow(id=dataset_id, **{**defaults, **fields})
    session.add(row)
    session.flush()
    return row


def make_job(session: Session, *, status: JobStatus = JobStatus.QUEUED, **fields: Any) -> JobRow:
    """Add a job in any state, with a lease of `worker-1` or an end time if the state requires it."""
    leased = {"lease_owner": "worker-1", "lease_expires_at": db_now(60), "attempt": 1, "started_at": db_now()}
    defaults: dict[str, Any] = {
        "model_name": "digits",
        "base": {"network": "mlp", "width": 100, "layers": 1, "dropout": 0.1},
        "params": {"algorithm": "fine_tune", "epochs": 1},
        **(leased if status in LEASED else {}),
        **({"finished_at": db_now()} if status in ENDED else {}),
    }
    row = JobRow(status=status, **{**defaults, **fields})
    session.add(row)
    session.flush()
    return row


def lease_of(job: JobRow) -> Lease:
    """Return the lease of a leased job."""
    assert job.lease_owner is not None
    return Lease(job.id, job.attempt, job.lease_owner)


PREPROCESSING = {
    "modality": "tabular",
    "columns": [
        {"name": "age", "kind": "number", "mean": 50.0, "std": 10.0},
        {"name": "sex", "kind": "category", "levels": ["f", "m"]},
    ],
}


def make_manifest(**fields: Any) -> Manifest:
    """Return the manifest of a version; by default one for tabular data with two classes."""
    defaults: dict[str, Any] = {
        "job_id": uuid.uuid4(),
        "modality": "tabular",
        "preprocessing": PREPROCESSING,
        "classes": ["no", "yes"],
        "base": {"network": "mlp"},
        "network": {"network": "mlp"},
        "algorithm": "dann",
        "params": {"algorithm": "dann"},
        "training_precision": "float32",
        "temperature": 1.0,
        "abstention_threshold": 0.0,
        "inputs": {},
        "digests": {},
        "libraries": {},
        "metrics": {},
    }
    return Manifest(**{**defaults, **fields})


def make_version(session: Session, *, model: str = "digits", artifacts: Iterable[str] = (), **fields: Any) -> VersionRow:
    """Add the next version of a model and its succeeded job; `artifacts` are file names without files."""
    model_row = session.scalars(select(ModelRow).where(ModelRow.name == model)).one_or_none() or ModelRow(
        name=model, last_number=0
    )
    session.add(model_row)
    session.flush()
    model_row.last_number = fields.pop("number", model_row.last_number + 1)
    job = fields.pop("job", None) or make_job(session, model_name=model, status=JobStatus.SUCCEEDED, attempt=1)
    defaults: dict[str, Any] = {
        "number": model_row.last_number,
        "attempt": job.attempt,
        "modality": "tabular",
        "digest": sha256(job.id.bytes).hexdigest(),
        "size_bytes": 1000,
        "metrics": {"source_accuracy": 0.9},
        "manifest": make_manifest().to_json(),
        "artifacts": [
            ArtifactRow(name=name, storage_key=f"jobs/{job.id}/1/{name}", digest=sha256(name.encode()).hexdigest(), size_bytes=10)
            for name in artifacts
        ],
    }
    row = VersionRow(model_id=model_row.id, job_id=job.id, **{**defaults, **fields})
    session.add(row)
    session.flush()
    return row


def make_label_request(session: Session, dataset: DatasetRow, **fields: Any) -> LabelRequestRow:
    """Add a request for the labels of the first rows of a dataset. None of them has one."""
    defaults: dict[str, Any] = {
        "model_name": "digits",
        "version_number": 1,
        "dataset_id": dataset.id,
        "purpose": "accuracy",
        "seed": 0,
        "classes": ["no", "yes"],
        "strata": [{"name": "confidence 1 of 1", "rows": dataset.rows}],
        "total": dataset.rows,
        "rows": [
            LabelRow(position=position, row=position + 1, stratum=0, predicted="yes", preview={"age": position}, unclear=False)
            for position in range(20)
        ],
    }
    row = LabelRequestRow(**{**defaults, **fields})
    session.add(row)
    session.flush()
    return row


def make_image(height: int = 8, width: int = 8, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """Return noise as uint8 (height, width, channels)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def image_bytes(pixels: NDArray[np.uint8] | None = None, format: str = "PNG") -> bytes:
    """Return uint8 (H, W, C) encoded as an image file."""
    pixels = make_image() if pixels is None else pixels
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, format)
    return buffer.getvalue()


def zip_bytes(members: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def image_zip(classes: Sequence[str] = ("cat", "dog"), each: int = 3, channels: int = 3) -> bytes:
    """Return an ImageFolder zip of noise; without classes it is flat and unlabelled."""
    folders = [f"{name}/" for name in classes] or [""]
    names = [f"{folder}{number}.png" for folder in folders for number in range(each)]
    return zip_bytes({name: image_bytes(make_image(channels=channels, seed=seed)) for seed, name in enumerate(names)})


def npz_bytes(**arrays: NDArray[Any]) -> bytes:
    """Return a compressed npz of these arrays."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Return comma-separated lines without quotes."""
    return "".join(",".join(map(str, row)) + "\n" for row in [header, *rows]).encode()


def jsonl_bytes(records: Iterable[Mapping[str, object]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def make_result(**fields: Any) -> AdaptationResult:
    files = ("model.onnx", "network.safetensors", "manifest.json")
    artifacts = [StoredFile(f"jobs/j/1/{name}", digest=name[0] * 64, size_bytes=7) for name in files]
    defaults = {
        "modality": "image",
        "metrics": {"source_accuracy": 0.9},
        "manifest": make_manifest(modality="image"),
        "artifacts": artifacts,
    }
    return AdaptationResult(**{**defaults, **fields})
