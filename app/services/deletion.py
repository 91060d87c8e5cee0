"""Deletion of versions, models and ended jobs.

Decision: rows are deleted, and nothing that is in use can be. Context: retention must bound the tables, so a deleted row cannot
stay as a mark. Consequences: an error names each reference that prevents a deletion. `ModelRow.last_number` keeps a number from
being given twice. Jobs keep the name of a deleted base version in `base`. Alternatives: hidden rows, as datasets have, never
shrink the tables, and each query of versions would have to exclude them.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session

from app import storage_keys
from app.auth import audit
from app.db.registry_revision import bump_revision
from app.db.tables import AliasRow, ArtifactRow, JobRow, ModelRow, VersionRow
from app.errors import FieldError, JobInUse, ModelInUse, VersionInUse
from app.job_state import ACTIVE
from app.job_types import JOB_TYPES
from app.job_types.adaptation import ADAPTATION
from app.job_types.base import JobType
from app.observability import job_totals
from app.services import file_deletions, jobs, models
from app.storage import Storage

MAX_REFERENCES = 20
"""References that an error names."""


def delete_version(session: Session, storage: Storage, name: str, number: int) -> None:
    """Delete a version and its files. Raise ModelNotFound, VersionInUse."""
    model = _locked_model(session, name)
    version_id = models.version(session, name, number).id
    is_this = VersionRow.id == version_id
    references = _references(session, is_this)
    if session.scalar(select(func.count()).select_from(VersionRow).where(VersionRow.model_id == model.id)) == 1:
        references.append(FieldError(f"/models/{name}", "is the only version of its model; delete the model instead"))
    if references:
        raise VersionInUse(_message(f"Version {number} of {name} is in use", references), references)
    remove_versions(session, storage, is_this)
    audit.record(session, "version.delete", f"models/{name}/versions/{number}")


def delete_model(session: Session, storage: Storage, name: str) -> None:
    """Delete a model with all versions. Raise ModelNotFound, ModelInUse."""
    model = _locked_model(session, name)
    are_these = VersionRow.model_id == model.id
    trains = JobRow.model_name == name, JobRow.kind == ADAPTATION.name, JobRow.status.in_(ACTIVE)
    references = _references(session, are_these) + _jobs(session, *trains, purpose="trains a version of it")
    if references:
        raise ModelInUse(_message(f"Model {name} is in use", references), references)
    remove_versions(session, storage, are_these)
    session.execute(delete(ModelRow).where(ModelRow.id == model.id))
    audit.record(session, "model.delete", f"models/{name}")


def delete_job(session: Session, storage: Storage, job_id: UUID, job_type: JobType[Any]) -> None:
    """Delete an ended job with its trials, events, metrics and output. Raise the type's not-found error, JobInUse."""
    jobs.get(session, job_id, job_type)
    session.execute(select(JobRow.id).where(JobRow.id == job_id).with_for_update())
    references = _job_references(session, job_id)
    if references:
        raise JobInUse(_message(f"The {job_type.noun} cannot be deleted", references), references)
    remove_jobs(session, storage, [job_id])
    audit.record(session, "job.delete", f"{job_type.path[1:]}/{job_id}")


def remove_versions(session: Session, storage: Storage, which: ColumnElement[bool]) -> None:
    """Delete versions that nothing refers to, and their files after the commit."""
    ids = select(VersionRow.id).where(which)
    keys = session.scalars(select(ArtifactRow.storage_key).where(ArtifactRow.version_id.in_(ids))).all()
    forgotten = {"base_version_id": None}
    derived_jobs = update(JobRow).where(JobRow.base_version_id.in_(ids))
    session.execute(derived_jobs.values(**forgotten, updated_at=JobRow.updated_at), execution_options=_UNSYNCHRONIZED)
    derived = update(VersionRow).where(VersionRow.base_version_id.in_(ids)).values(forgotten)
    session.execute(derived, execution_options=_UNSYNCHRONIZED)
    session.execute(delete(ArtifactRow).where(ArtifactRow.version_id.in_(ids)), execution_options=_UNSYNCHRONIZED)
    session.execute(delete(VersionRow).where(which), execution_options=_UNSYNCHRONIZED)
    file_deletions.schedule(session, storage, map(storage_keys.owner_folder, keys))
    bump_revision(session)


def remove_jobs(session: Session, storage: Storage, job_ids: Sequence[UUID]) -> None:
    """Delete ended jobs without versions, their trials, and all their files after the commit."""
    ids = session.scalars(select(JobRow.id).where(or_(JobRow.id.in_(job_ids), JobRow.parent_id.in_(job_ids)))).all()
    job_totals.forget(session, ids)
    for parents in (JobRow.parent_id.is_not(None), JobRow.parent_id.is_(None)):  # trials first, as they refer to their searches
        session.execute(delete(JobRow).where(JobRow.id.in_(ids), parents), execution_options=_UNSYNCHRONIZED)
    file_deletions.schedule(session, storage, map(storage_keys.job_folder, ids))


def is_unused() -> ColumnElement[bool]:
    """Return the condition that no alias and no active job refers to a version."""
    aliased = exists().where(AliasRow.version_id == VersionRow.id)
    needed = exists().where(JobRow.base_version_id == VersionRow.id, JobRow.status.in_(ACTIVE))
    return ~aliased & ~needed


_UNSYNCHRONIZED = {"synchronize_session": False}


def _locked_model(session: Session, name: str) -> ModelRow:
    """Return the model; lock it and its versions, so that jobs that are being posted with them can be seen."""
    model = models.get(session, name)
    session.execute(select(ModelRow.id).where(ModelRow.id == model.id).with_for_update())
    session.execute(select(VersionRow.id).where(VersionRow.model_id == model.id).with_for_update())
    return model


def _references(session: Session, which: ColumnElement[bool]) -> list[FieldError]:
    """Return the aliases of versions, and the active jobs that start from them or predict with them."""
    ids = select(VersionRow.id).where(which)
    names = session.scalars(select(AliasRow.name).where(AliasRow.version_id.in_(ids)).limit(MAX_REFERENCES))
    aliases = [FieldError(f"/aliases/{name}", "the alias points to it; move or delete the alias") for name in names]
    return aliases + _jobs(session, JobRow.base_version_id.in_(ids), JobRow.status.in_(ACTIVE), purpose="uses it")


def _jobs(session: Session, *which: ColumnElement[bool], purpose: str) -> list[FieldError]:
    remedy = "cancel it or wait for its end"
    rows = session.execute(select(JobRow.id, JobRow.kind, JobRow.status).where(*which).limit(MAX_REFERENCES))
    return [
        FieldError(f"{JOB_TYPES[kind].path}/{job_id}", f"the {status} {JOB_TYPES[kind].noun} {purpose}; {remedy}")
        for job_id, kind, status in rows
    ]


def _job_references(session: Session, job_id: UUID) -> list[FieldError]:
    query = select(VersionRow.number, ModelRow.name).join(VersionRow.model).where(VersionRow.job_id == job_id)
    versions = [
        FieldError(f"/models/{name}/versions/{number}", "the version is its result; delete the version first")
        for number, name in session.execute(query)
    ]
    itself = _jobs(session, JobRow.id == job_id, JobRow.status.in_(ACTIVE), purpose="has not ended")
    return versions + itself + _jobs(session, JobRow.parent_id == job_id, JobRow.status.in_(ACTIVE), purpose="has not ended")


def _message(problem: str, references: Sequence[FieldError]) -> str:
    named = "; ".join(f"{reference.pointer}: {reference.detail}" for reference in references[:3])
    more = f" (and {len(references) - 3} more)" if len(references) > 3 else ""
    return f"{problem}. {named}{more}."
