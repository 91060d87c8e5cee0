"""Adaptations: jobs that train a network and produce a version of a model."""

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.artifacts import MANIFEST_FILE, Manifest
from app.db.registry_revision import bump_revision
from app.db.tables import ArtifactRow, JobRow, ModelRow, VersionRow
from app.job_types.base import JobResult, JobType
from app.storage import StoredFile


class AdaptationResult(JobResult):
    """The content of the version, whose files are in the storage already."""

    modality: str
    manifest: Manifest
    artifacts: list[StoredFile]


class Adaptation(JobType[AdaptationResult]):
    """The training of one version."""

    result = AdaptationResult
    routes_help = "Runs of an algorithm on a source and a target."
    may_use_several_processes = True

    @property
    def metric_name(self) -> str:
        return "isthmus_jobs"

    def finish(self, session: Session, job: JobRow, result: AdaptationResult) -> None:
        job.version = _new_version(session, job, result)
        bump_revision(session)


ADAPTATION = Adaptation()


def _new_version(session: Session, job: JobRow, result: AdaptationResult) -> VersionRow:
    model = _locked_model(session, job.project, job.model_name)
    model.last_number += 1
    version = VersionRow(
        model_id=model.id,
        number=model.last_number,
        job_id=job.id,
        attempt=job.attempt,
        base_version_id=job.base_version_id,
        modality=result.modality,
        digest=next(file.digest for file in result.artifacts if file.name == MANIFEST_FILE),
        size_bytes=sum(file.size_bytes for file in result.artifacts),
        metrics=result.metrics,
        manifest=result.manifest.to_json(),
        artifacts=[ArtifactRow(name=file.name, **file.columns()) for file in result.artifacts],
    )
    session.add(version)
    session.flush()
    return version


def _locked_model(session: Session, project: str, name: str) -> ModelRow:
    """Return the model's row, locked, so that two jobs that end at once number their versions one after the other."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    columns = {"project": project, "name": name}
    session.execute(insert(ModelRow).values(columns).on_conflict_do_nothing(index_elements=list(columns)))
    return session.scalars(select(ModelRow).filter_by(**columns).with_for_update()).one()
