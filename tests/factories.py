"""Objects for tests: every required field is filled, a test names only what it is about."""

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
from sqlalchemy.orm import Session

from app.db.tables import DatasetRow


def make_dataset(session: Session, **fields: Any) -> DatasetRow:
    """A labelled table of two columns, in the database only. `fields` override; no file is stored."""
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


def picture(height: int = 8, width: int = 8, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """Noise, uint8 (height, width, channels)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def picture_bytes(pixels: NDArray[np.uint8] | None = None, format: str = "PNG") -> bytes:
    """An encoded picture file of uint8 (H, W, C)."""
    pixels = picture() if pixels is None else pixels
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, format)
    return buffer.getvalue()


def zip_bytes(members: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def image_zip(classes: Sequence[str] = ("cat", "dog"), each: int = 3, channels: int = 3) -> bytes:
    """An ImageFolder zip of noise; without classes a flat, unlabelled one."""
    folders = [f"{name}/" for name in classes] or [""]
    names = [f"{folder}{number}.png" for folder in folders for number in range(each)]
    return zip_bytes({name: picture_bytes(picture(channels=channels, seed=seed)) for seed, name in enumerate(names)})


def npz_bytes(**arrays: NDArray[Any]) -> bytes:
    """A compressed npz of these arrays."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Comma-separated lines, nothing quoted."""
    return "".join(",".join(map(str, row)) + "\n" for row in [header, *rows]).encode()


def jsonl_bytes(records: Iterable[Mapping[str, object]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path
