"""A bench for whole jobs: datasets, jobs and their attempts in this process, on a separate database."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from app.db.session import SessionFactory, make_engine
from app.db.tables import ArtifactRow, DatasetRow, JobRow, ModelRow, VersionRow
from app.job_types.adaptation import AdaptationResult
from app.modalities import MODALITIES
from app.networks import default_network
from app.settings import Settings
from app.storage import Storage
from tests.support.distributed_trainer import brief_evaluations
from tests.support.factories import make_dataset, npz_bytes
from tests.support.quick_settings import data_folder, quick_settings
from tests.support.toy_problems import toy_images
from worker.data.attempt_context import AttemptContext
from worker.jobs import adaptation
from worker.protocol.progress import ProgressReporter

SMALL = {"epochs": 3, "batch_size": 32, "learning_rate": 3e-3, "augmentation": "none"}
DANN = {"algorithm": "dann", "min_steps": 120, **SMALL}
FINE_TUNE = {"algorithm": "fine_tune", **SMALL}
CNN = {"network": "cnn", "input_size": 8}


@dataclass
class Bench:
    """Creates datasets and jobs, and runs their attempts in this process."""

    settings: Settings
    sessions: sessionmaker[Session]
    folder: Path

    @property
    def storage(self) -> Storage:
        return Storage(self.settings.storage)

    def dataset(self, modality: str, filename: str, content: bytes, **options: Any) -> DatasetRow:
        path = self.folder / filename
        path.write_bytes(content)
        kind, form = MODALITIES[modality], path.suffix[1:]
        profile = kind.check(path, form, kind.options.model_validate(options))
        key = f"datasets/{sha256(content).hexdigest()}/{filename}"
        self.storage.put(key, path)
        with self.sessions.begin() as session:
            return make_dataset(
                session,
                name=filename,
                modality=modality,
                format=form,
                options=options,
                rows=profile.rows,
                classes=profile.classes,
                labelled=profile.classes is not None,
                profile=profile.details,
                storage_key=key,
            )

    def job(self, params: dict[str, Any], source: DatasetRow | None, *others: DatasetRow | None, **fields: Any) -> JobRow:
        """Add a job; `others` are the target and the evaluation."""
        target, evaluation = (*(other and other.id for other in others), None, None)[:2]
        base = (
            fields.pop("base") if "base" in fields or source is None else default_network(source.modality).model_dump(mode="json")
        )
        job = JobRow(
            model_name="toy", source_id=source and source.id, target_id=target, evaluation_id=evaluation, base=base, params=params
        )
        for name, value in fields.items():
            setattr(job, name, value)
        with self.sessions.begin() as session:
            session.add(job)
        return job

    def context(self, job: JobRow, attempt: int = 1, reporter: ProgressReporter | None = None) -> AttemptContext:
        """Return the context of an attempt, with an empty scratch folder."""
        job.attempt = attempt
        folder = Path(mkdtemp(dir=self.folder))
        return AttemptContext(
            job, self.settings, self.storage, self.sessions, folder, reporter or ProgressReporter(io.StringIO())
        )

    def run(self, job: JobRow, attempt: int = 1, reporter: ProgressReporter | None = None) -> AdaptationResult:
        result = adaptation.run(self.context(job, attempt, reporter))
        assert result is not None
        return result

    def publish(self, job: JobRow, result: AdaptationResult) -> VersionRow:
        """Register the version of a job as the supervisor does."""
        version = VersionRow(
            number=1,
            job_id=job.id,
            attempt=1,
            modality=result.modality,
            digest=next(file.digest for file in result.artifacts if file.name == "manifest.json"),
            size_bytes=0,
            metrics=result.metrics,
            manifest=result.manifest.to_json(),
            model=ModelRow(name="toy", last_number=1),
            artifacts=[ArtifactRow(name=file.name, **file.columns()) for file in result.artifacts],
        )
        with self.sessions.begin() as session:
            session.add(version)
        return version

    def content(self, result: AdaptationResult, name: str) -> bytes:
        key = next(file.key for file in result.artifacts if file.name == name)
        with self.storage.open(key) as file:
            return file.read()


@pytest.fixture
def bench(tmp_path: Path, empty_sqlite: Path) -> Iterator[Bench]:
    with opened_bench(tmp_path, empty_sqlite) as bench:
        yield bench


@contextmanager
def opened_bench(folder: Path, empty_sqlite: Path) -> Iterator[Bench]:
    """Open a bench on a separate database."""
    settings = quick_settings(data_dir=data_folder(folder, empty_sqlite), device="cpu", train_threads=1)
    (folder / "bench").mkdir()
    settings.scratch_dir.mkdir()
    graphs = folder.parent / "graphs"  # shared by all benches of this test process
    graphs.mkdir(exist_ok=True)
    (settings.scratch_dir / "graphs").symlink_to(graphs)
    engine = make_engine(settings.database)
    with brief_evaluations():
        yield Bench(settings, SessionFactory(engine), folder / "bench")
    engine.dispose()


def digits(bench: Bench, *, target: bool, labelled: bool = True, classes: int = 10, rows: int = 500) -> DatasetRow:
    examples = toy_images(rows, classes, target=target)
    assert examples.labels is not None
    arrays = {"x": examples.inputs["pixels"].numpy()} | ({"y": examples.labels.numpy()} if labelled else {})
    return bench.dataset("image", f"digits-{target}-{labelled}-{classes}-{rows}.npz", npz_bytes(**arrays))
