"""The inputs of a job: its datasets and the version that it starts from, with their files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from uuid import UUID

from sqlalchemy.orm import Session

from app.db.tables import DatasetRow, JobRow, VersionRow
from app.formats.class_labels import in_order
from app.labels.row_labels import RowLabels
from app.modalities import MODALITIES
from app.modalities.base import CHUNK_ROWS, Chunk, Profile
from app.services.datasets import dataset_file, joined, profile_of
from app.serving.version_files import VersionFiles
from app.storage import Storage
from worker.data.attempt_context import AttemptContext
from worker.protocol.progress import BadData


@dataclass(frozen=True, slots=True)
class StoredDataset:
    """A dataset as a detached row, and the storage that holds its file."""

    row: DatasetRow
    storage: Storage

    @property
    def profile(self) -> Profile:
        return profile_of(self.row)

    def chunks(self, size: int = CHUNK_ROWS) -> Iterator[Chunk]:
        """Yield all examples, at most `size` per chunk."""
        with self.storage.local(self.row.storage_key) as path:
            chunks = MODALITIES[self.row.modality].chunks(dataset_file(self.row, path), size)
            labels = RowLabels.of(self.row.profile)
            yield from labels.apply(chunks) if labels else chunks


@dataclass(frozen=True, slots=True)
class StoredSources(StoredDataset):
    """Several sources as one dataset, whose row describes all of them. The examples are those of the parts, one after another."""

    parts: tuple[StoredDataset, ...]

    @classmethod
    def of(cls, parts: Sequence[StoredDataset]) -> StoredDataset | None:
        """Return the sources of a job as one dataset, None without any."""
        if len(parts) < 2:
            return parts[0] if parts else None
        return cls(joined([part.row for part in parts]), parts[0].storage, tuple(parts))

    def chunks(self, size: int = CHUNK_ROWS) -> Iterator[Chunk]:
        """Yield all examples with their domains; the columns that not all sources have are not learned."""
        names = _unique([part.row.name for part in self.parts])
        have_groups = [any(chunk.groups is not None for chunk in islice(part.chunks(1), 1)) for part in self.parts]
        for name, part in zip(names, self.parts, strict=True):
            left_out = MODALITIES[self.row.modality].left_out(part.profile, self.profile)
            for number, chunk in enumerate(part.chunks(size)):
                yield replace(
                    chunk,
                    details=self.row.profile,
                    unlearned=chunk.unlearned | left_out,
                    groups=_groups_of(chunk, f"{name}/{number}", name) if any(have_groups) else None,
                    domains=[
                        name if chunk.domains is None else f"{name}: {domain}" for domain in chunk.domains or [""] * chunk.rows
                    ],
                )


def _unique(names: Sequence[str]) -> list[str]:
    return [name if names.count(name) == 1 else f"{name} ({number})" for number, name in enumerate(names, 1)]


def _groups_of(chunk: Chunk, chunk_name: str, source: str) -> list[str]:
    """Return groups that no other source has; a row of a source without groups is a group of its own."""
    if chunk.groups is None:
        return [f"{chunk_name}/{row}" for row in range(chunk.rows)]
    return [f"{source}/{group}" for group in chunk.groups]


@dataclass(frozen=True, slots=True)
class JobInputs:
    """The datasets, and `base`, the version that the job starts from. Without a source there is a base and a target.

    `source` are all sources of the job as one dataset.
    """

    source: StoredDataset | None
    target: StoredDataset | None
    evaluation: StoredDataset | None
    base: VersionFiles | None

    @property
    def classes(self) -> list[str]:
        """The names of the classes by class number; names that are numbers are in numeric order."""
        if self.source is not None:
            return in_order(self.source.row.classes or ())
        assert self.base is not None
        return self.base.manifest.classes

    @property
    def modality(self) -> str:
        """The modality, which all inputs share."""
        if self.source is not None:
            return self.source.row.modality
        assert self.base is not None
        return self.base.manifest.modality


def load(context: AttemptContext) -> JobInputs:
    """Read the rows. Raise BadData when the source has no labels, or there is neither a source nor a base."""
    job = context.training_job
    source_ids = [job.source_id, *context.further_source_ids()]
    with context.sessions() as session:
        *sources, target, evaluation = (
            _dataset(session, key, context.storage) for key in (*source_ids, job.target_id, job.evaluation_id)
        )
        base = _base(session, job)
    source = StoredSources.of([source for source in sources if source is not None])
    if source is not None and not source.row.classes:
        raise BadData("The source dataset has no labels. Upload a labelled dataset as the source.")
    if source is None and base is None:
        raise BadData("The source dataset was deleted, and the job starts from no version. Submit a job with another source.")
    return JobInputs(source, target, evaluation, base)


def _dataset(session: Session, key: UUID | None, storage: Storage) -> StoredDataset | None:
    row = session.get(DatasetRow, key) if key else None
    return StoredDataset(row, storage) if row else None


def _base(session: Session, job: JobRow) -> VersionFiles | None:
    version = session.get(VersionRow, job.base_version_id) if job.base_version_id else None
    return VersionFiles.of(version) if version else None
