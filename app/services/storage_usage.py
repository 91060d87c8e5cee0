"""What the stored files are for: usage by model and dataset, and files that nothing refers to."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from time import time
from uuid import UUID

import structlog
from sqlalchemy import desc, func, select
from sqlalchemy.orm import Session, sessionmaker

from app.db.encoder_tables import EncoderRow
from app.db.tables import ArtifactRow, DatasetRow, FileDeletionRow, JobRow, ModelRow, OutputRow, VersionRow
from app.job_state import ENDED
from app.storage import FileInfo, Storage

log = structlog.get_logger()

FOLDERS = ("datasets", "encoders", "jobs", "health")
"""The folders of the storage whose files the service may delete."""
GRACE_SECONDS = 24 * 3600
"""Younger files may belong to a row that is not committed yet."""
BATCH = 500


@dataclass(frozen=True, slots=True)
class Usage:
    """Number and size of the objects of one kind, or of the versions of one model."""

    name: str
    count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class StorageUsage:
    """Totals of each kind, and the largest models and datasets."""

    totals: Sequence[Usage]
    models: Sequence[Usage]
    datasets: Sequence[Usage]
    pending_deletions: int


def usage(session: Session, limit: int) -> StorageUsage:
    """Return what the rows refer to, with the `limit` largest models and datasets."""
    visible = DatasetRow.deleted_at.is_(None)
    size = func.sum(VersionRow.size_bytes)
    models = select(ModelRow.name, func.count(), size).join(VersionRow.model).group_by(ModelRow.name)
    datasets = select(DatasetRow.name, DatasetRow.id, DatasetRow.size_bytes).where(visible)
    largest = session.execute(datasets.order_by(desc(DatasetRow.size_bytes), DatasetRow.id).limit(limit))
    totals = {
        "datasets": select(func.count(), func.sum(DatasetRow.size_bytes)).where(visible),
        "encoders": select(func.count(), func.sum(EncoderRow.size_bytes)),
        "versions": select(func.count(), func.sum(VersionRow.size_bytes)).join(VersionRow.model),
        "outputs": select(func.count(), func.sum(OutputRow.size_bytes)).join(JobRow, JobRow.id == OutputRow.job_id),
    }
    return StorageUsage(
        totals=[Usage(kind, count, int(total or 0)) for kind, query in totals.items() for count, total in session.execute(query)],
        models=[
            Usage(name, count, int(total))
            for name, count, total in session.execute(models.order_by(desc(size), ModelRow.name).limit(limit))
        ],
        datasets=[Usage(f"{name} ({dataset_id})", 1, total) for name, dataset_id, total in largest],
        pending_deletions=session.scalar(select(func.count()).select_from(FileDeletionRow)) or 0,
    )


def unreferenced(sessions: "sessionmaker[Session]", storage: Storage, grace_seconds: float = GRACE_SECONDS) -> Iterator[FileInfo]:
    """Yield the files that no row refers to and that are older than the grace period.

    Each file is compared with the rows after it was listed, so that a file whose row was just committed is never yielded.
    """
    oldest = time() - grace_seconds
    files = (file for folder in FOLDERS for file in storage.files(folder) if file.modified_at < oldest)
    while batch := list(islice(files, BATCH)):
        with sessions() as session:
            known = _referenced(session, [file.key for file in batch])
        yield from (file for file in batch if file.key not in known)


def prune(sessions: "sessionmaker[Session]", storage: Storage, grace_seconds: float = GRACE_SECONDS) -> Iterator[FileInfo]:
    """Delete the unreferenced files; yield each after its deletion."""
    for file in unreferenced(sessions, storage, grace_seconds):
        storage.delete_file(file.key)
        log.info("storage.file_pruned", storage_key=file.key, size_bytes=file.size_bytes)
        yield file


def _referenced(session: Session, keys: Iterable[str]) -> set[str]:
    """Return the keys that belong to a visible dataset, a job that is not cleaned up, a version or an output."""
    by_owner: dict[tuple[str, UUID], list[str]] = {}
    for key in keys:
        folder, owner, *rest = key.split("/")
        if rest and (owner_id := _uuid(owner)):
            by_owner.setdefault((folder, owner_id), []).append(key)
    found = {("datasets", one) for one in _visible_datasets(session, [one for folder, one in by_owner if folder == "datasets"])}
    found |= {("jobs", one) for one in _uncleaned_jobs(session, [one for folder, one in by_owner if folder == "jobs"])}
    owned = {key for owner in found for key in by_owner[owner]}
    remaining = [key for owner, of_owner in by_owner.items() if owner not in found for key in of_owner]
    artifacts = session.scalars(select(ArtifactRow.storage_key).where(ArtifactRow.storage_key.in_(remaining)))
    outputs = session.scalars(select(OutputRow.storage_key).where(OutputRow.storage_key.in_(remaining)))
    encoders = session.scalars(select(EncoderRow.storage_key).where(EncoderRow.storage_key.in_(remaining)))
    return owned | set(artifacts) | set(outputs) | set(encoders)


def _visible_datasets(session: Session, ids: Sequence[UUID]) -> Iterable[UUID]:
    return session.scalars(select(DatasetRow.id).where(DatasetRow.id.in_(ids), DatasetRow.deleted_at.is_(None)))


def _uncleaned_jobs(session: Session, ids: Sequence[UUID]) -> Iterable[UUID]:
    """Return the jobs that have not ended or whose files a worker will still clean up."""
    not_ended = JobRow.status.not_in(ENDED) | JobRow.cleaned_at.is_(None)
    return session.scalars(select(JobRow.id).where(JobRow.id.in_(ids), not_ended))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
