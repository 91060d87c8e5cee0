"""Jobs without HTTP and worker, with the same checks, database and trainer process."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from app.db.migrate import upgrade
from app.db.session import SessionFactory, make_engine
from app.db.tables import JobRow
from app.job_types.adaptation import AdaptationResult
from app.schemas.jobs import JobCreate
from app.schemas.trainer_messages import RESULT_FILE
from app.services import datasets, jobs
from app.services.multipart_uploads import Upload
from app.services.upload_checks.checker import UploadChecker
from app.settings import Settings
from app.storage import Storage, digest_of
from worker.supervision.trainer_process import RUNTIME


class NoQueue:
    """A JobQueue without consumers: the benchmark starts the trainer itself."""

    def send(self, job_id: UUID) -> None:
        """Do nothing."""

    def depth(self) -> int:
        return 0

    def check(self) -> None:
        """Do nothing."""


class TrainerFailedError(Exception):
    """The trainer ended without a result; the message is the end of its standard error."""


class Service:
    """A database and a storage in one folder, and the trainer on top of them."""

    def __init__(self, folder: Path, threads: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.settings = Settings(_env_file=None, data_dir=folder.absolute(), train_threads=threads)
        upgrade(self.settings.database)
        self.sessions: SessionFactory = SessionFactory(make_engine(self.settings.database))
        self.storage = Storage(self.settings.storage)
        self._uploaded: dict[Path, UUID] = {}

    def upload(self, path: Path) -> UUID:
        """Upload a file and return its dataset, which exists already if it was uploaded before."""
        if path not in self._uploaded:
            upload = Upload(path, path.name, digest_of(path), path.stat().st_size, {"name": path.stem})
            with UploadChecker() as checker:
                self._uploaded[path] = datasets.create(self.sessions, self.storage, upload, checker)[0].id
        return self._uploaded[path]

    def submit(self, request: JobCreate) -> JobRow:
        with self.sessions.begin() as session:
            job = jobs.submit(session, NoQueue(), request, max_attempts=1)
            session.expunge(job)
        return job

    def train(self, job: JobRow) -> dict[str, Any]:
        """Run the trainer process on the job and return the metrics of its version. Raise TrainerFailedError."""
        folder = self.settings.scratch_dir / str(job.id)
        folder.mkdir(parents=True)
        try:
            command = [sys.executable, "-P", "-m", "worker.trainer", str(job.id), str(job.attempt)]
            ended = subprocess.run(command, cwd=folder, env=self._environment(), capture_output=True, text=True, check=False)
            if ended.returncode:
                raise TrainerFailedError(f"exit code {ended.returncode}: {ended.stderr[-2000:]}")
            return AdaptationResult.model_validate_json((folder / RESULT_FILE).read_text()).metrics
        finally:
            shutil.rmtree(folder)

    def _environment(self) -> dict[str, str]:
        threads = self.settings.train_threads
        return (
            RUNTIME
            | os.environ
            | {
                "ISTHMUS_DATA_DIR": str(self.settings.data_dir),
                "ISTHMUS_TRAIN_THREADS": str(threads),
                "ISTHMUS_PRETRAINED_FOLDERS": "*",
                **({"OMP_NUM_THREADS": str(threads)} if threads else {}),
            }
        )
