"""Batch predictions for tests: a real version, a real dataset, a queued job and the expected output."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import onnxruntime
import polars as pl
from numpy.typing import NDArray
from sqlalchemy.orm import Session, sessionmaker

from app.job_types.batch_prediction import BATCH_PREDICTION
from app.modalities import MODALITIES
from app.modalities.base import DatasetFile
from app.schemas.batch_predictions import BatchPredictionOptions
from app.serving.probabilities import softmax
from app.storage import Storage
from tests.support.factories import make_dataset, make_job
from tests.support.published_models import Exported, store_version

READERS: Mapping[str, Callable[[Path], pl.DataFrame]] = {
    "parquet": pl.read_parquet,
    "csv": pl.read_csv,
    "jsonl": pl.read_ndjson,
}


def queue_prediction(
    sessions: sessionmaker[Session], storage: Storage, exported: Exported, path: Path, rows: int | None = None, **fields: Any
) -> UUID:
    """Queue a prediction of the whole file. `rows` overrides the number of rows that the upload counted."""
    modality = MODALITIES[exported.manifest.modality]
    profile = modality.check(path, path.suffix[1:], modality.options())
    key = f"datasets/{path.stem}/data{path.suffix}"
    storage.put(key, path)
    options = {name: fields.pop(name) for name in BatchPredictionOptions.model_fields if name in fields}
    with sessions() as session:
        version = store_version(session, storage, exported, f"model-{path.stem}")
        data = make_dataset(
            session,
            modality=modality.name,
            format=profile.format,
            storage_key=key,
            rows=rows or profile.rows,
            labelled=profile.classes is not None,
            classes=profile.classes,
            profile=profile.details,
        )
        job = make_job(
            session,
            kind=BATCH_PREDICTION.name,
            model_name=version.model.name,
            source_id=data.id,
            base={"model": f"{version.model.name}:{version.number}"},
            base_version_id=version.id,
            params=BatchPredictionOptions(**options).model_dump() | {"total": data.rows},
            **fields,
        )
        session.commit()
        return job.id


def plain_probabilities(exported: Exported, path: Path, graph: str = "model.onnx") -> NDArray[np.float32]:
    """Return the probabilities (rows, classes) that ONNX Runtime computes in one run."""
    modality = MODALITIES[exported.manifest.modality]
    file = DatasetFile(path, path.suffix[1:], modality.options(), False)
    session = onnxruntime.InferenceSession(exported.folder / graph, providers=["CPUExecutionProvider"])
    chunks = [session.run(["logits"], exported.encode(chunk.inputs))[0] for chunk in modality.chunks(file)]
    return softmax(np.concatenate(chunks))


def assert_answers(frame: pl.DataFrame, probabilities: NDArray[np.float32], classes: list[str]) -> None:
    """Check that each input row has one output row, in order, with the right class and its probability to 1e-4."""
    assert frame["row"].to_list() == list(range(1, len(probabilities) + 1))
    assert np.abs(frame["confidence"].to_numpy() - probabilities.max(axis=1)).max() < 1e-4
    best = [classes.index(label) for label in frame["label"]]
    assert np.abs(probabilities[np.arange(len(best)), best] - probabilities.max(axis=1)).max() < 1e-4
    assert frame["error"].null_count() == frame.height
