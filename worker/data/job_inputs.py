"""What a job works on: the rows of its data sets and of the version it starts from, and their files."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.db.tables import DatasetRow, JobRow, VersionRow
from app.formats.class_labels import in_order
from app.modalities import MODALITIES
from app.modalities.base import Chunk
from app.services.datasets import dataset_file
from app.serving.version_files import VersionFiles
from app.storage import Storage
from worker.data.attempt_context import AttemptContext
from worker.protocol.progress import BadData


@dataclass(frozen=True, slots=True)
class JobInputs:
    """Detached rows. `base` is the version that the job starts from, with its artifacts, if it starts from one.

    Without a source there is a base and a target.
    """

    source: DatasetRow | None
    target: DatasetRow | None
    evaluation: DatasetRow | None
    base: VersionFiles | None

    @property
    def classes(self) -> list[str]:
        """The names of the classes, numbers in numeric order: a class's number is its place."""
        if self.source is not None:
            return in_order(self.source.classes or ())
        assert self.base is not None
        return self.base.manifest.classes

    @property
    def modality(self) -> str:
        """Of all of them."""
        if self.source is not None:
            return self.source.modality
        assert self.base is not None
        return self.base.manifest.modality


def load(context: AttemptContext) -> JobInputs:
    """Read the rows. Raise BadData when the source has no labels, or there is neither a source nor a base."""
    job = context.training_job
    with context.sessions() as session:
        source, target, evaluation = (
            session.get(DatasetRow, key) if key else None for key in (job.source_id, job.target_id, job.evaluation_id)
        )
        base = _base(session, job)
    if source is not None and not source.classes:
        raise BadData("The source data set has no labels.")
    if source is None and base is None:
        raise BadData("The source data set is not there, and no version to start from.")
    return JobInputs(source, target, evaluation, base)


def _base(session: Session, job: JobRow) -> VersionFiles | None:
    version = session.get(VersionRow, job.base_version_id) if job.base_version_id else None
    return VersionFiles.of(version) if version else None


def chunks(storage: Storage, row: DatasetRow | None) -> Iterator[Chunk]:
    """All examples of a data set, none for None."""
    if row is None:
        return
    with storage.local(row.storage_key) as path:
        yield from MODALITIES[row.modality].chunks(dataset_file(row, path))
