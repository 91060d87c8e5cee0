"""One attempt of one job with everything that its code uses. Imports no torch."""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from app import storage_keys
from app.db.tables import JobRow, JobSourceRow
from app.settings import Settings
from app.storage import Storage
from worker.protocol.progress import ProgressReporter


@dataclass(frozen=True, slots=True)
class AttemptContext:
    """The values that every step of an attempt needs; made once, by the entry of the trainer process.

    `job` is detached, with all columns loaded. `folder` is scratch space that disappears with the attempt.
    """

    job: JobRow
    settings: Settings
    storage: Storage
    sessions: sessionmaker[Session]
    folder: Path
    reporter: ProgressReporter

    @property
    def attempt(self) -> int:
        """The number of this attempt, which fences all its writes."""
        return self.job.attempt

    @property
    def training_job(self) -> JobRow:
        """The job whose data and parameters are trained with: for a trial, the search that it belongs to."""
        parent = self.job.parent if self.job.parent_id else None
        return parent or self.job

    @property
    def digest(self) -> str:
        """The digest of everything that decides the result; a checkpoint with another digest is refused."""
        job = self.training_job
        ids = [str(key) for key in (job.source_id, job.target_id, job.base_version_id)]
        ids += map(str, self.further_source_ids())
        labels = [job.target_labels] if job.target_labels else []
        return sha256(json.dumps([job.params, job.base, ids, *labels], sort_keys=True).encode()).hexdigest()

    def further_source_ids(self) -> list[UUID]:
        """Return the sources beside the first one, in their order."""
        query = select(JobSourceRow.dataset_id).where(JobSourceRow.job_id == self.training_job.id)
        with self.sessions() as session:
            return list(session.scalars(query.order_by(JobSourceRow.position)))

    @property
    def storage_folder(self) -> str:
        """The storage prefix of the files of this attempt."""
        return storage_keys.attempt_folder(self.job.id, self.attempt)
