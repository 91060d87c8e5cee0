"""Many ended jobs with versions, inserted in large batches."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, insert

from app.db.tables import AliasRow, ArtifactRow, DatasetRow, EventRow, JobRow, ModelRow, VersionRow
from app.job_state import JobStatus

START = datetime(2026, 1, 1, tzinfo=UTC)
BATCH = 2000
ARTIFACTS = ("manifest.json", "model.onnx")
"""A real version has up to six; the queries that are measured read none."""


def fill(engine: Engine, first: int, count: int) -> None:
    """Add the datasets, jobs, models and versions with these numbers, and three events of each job."""
    for numbers in _batches(range(first, first + count)):
        with engine.begin() as connection:
            for table, rows in _rows(numbers).items():
                connection.execute(insert(table), rows)


def _batches(numbers: range) -> Iterator[list[int]]:
    for start in range(0, len(numbers), BATCH):
        yield list(numbers[start : start + BATCH])


def _id(kind: str, number: int) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{kind}-{number}")


def _rows(numbers: list[int]) -> dict[Any, list[dict[str, Any]]]:
    """Return the rows of each table, in the order of their references."""
    tables: dict[Any, list[dict[str, Any]]] = {
        table: [] for table in (DatasetRow, JobRow, ModelRow, VersionRow, ArtifactRow, AliasRow, EventRow)
    }
    for number in numbers:
        for table, rows in _rows_of(number).items():
            tables[table] += rows
    return tables


def _rows_of(number: int) -> dict[Any, list[dict[str, Any]]]:
    at = START + timedelta(seconds=number)
    dataset_id, job_id, model_id, version_id = (_id(kind, number) for kind in ("dataset", "job", "model", "version"))
    version = {"id": version_id, "model_id": model_id, "number": 1, "job_id": job_id, "attempt": 1, "modality": "tabular"}
    metrics = {"source_accuracy": 0.9, "target_accuracy_estimate": {"value": 0.8}}
    files = [(name, f"jobs/{job_id}/1/artifacts/{name}") for name in ARTIFACTS]
    return {
        DatasetRow: [_dataset(dataset_id, at)],
        JobRow: [_job(job_id, dataset_id, number, at)],
        ModelRow: [{"id": model_id, "name": f"m{number}", "last_number": 1, "created_at": at}],
        VersionRow: [version | {"digest": "0" * 64, "size_bytes": 7, "metrics": metrics, "manifest": {}, "created_at": at}],
        ArtifactRow: [
            {"version_id": version_id, "name": name, "storage_key": key, "digest": "0" * 64, "size_bytes": 7}
            for name, key in files
        ],
        AliasRow: [{"model_id": model_id, "name": "production", "version_id": version_id, "updated_at": at}],
        EventRow: [
            {"job_id": job_id, "attempt": 1, "kind": kind, "data": {}, "created_at": at} for kind in ("queued", "started", "done")
        ],
    }


def _dataset(dataset_id: uuid.UUID, at: datetime) -> dict[str, Any]:
    texts = {"name": "table", "modality": "tabular", "filename": "table.csv", "format": "csv", "digest": "0" * 64}
    numbers = {"size_bytes": 1000, "rows": 100, "labelled": True}
    details = {"options": {}, "classes": {"no": 50, "yes": 50}, "profile": {}}
    key = f"datasets/{dataset_id}/data.csv"
    return {"id": dataset_id, "storage_key": key, "fingerprint": dataset_id.hex, "created_at": at, **texts, **numbers, **details}


def _job(job_id: uuid.UUID, dataset_id: uuid.UUID, number: int, at: datetime) -> dict[str, Any]:
    end = at + timedelta(seconds=60 + number % 100)
    times = {"created_at": at, "updated_at": end, "run_after": at, "started_at": at, "finished_at": end, "cleaned_at": end}
    return {
        "id": job_id,
        "model_name": f"m{number}",
        "source_id": dataset_id,
        "base": {"network": "mlp"},
        "params": {"algorithm": "dann", "epochs": 20},
        "status": JobStatus.SUCCEEDED,
        "attempt": 1,
        "progress": 1.0,
        "metrics": {"source_accuracy": 0.9},
        **times,
    }
