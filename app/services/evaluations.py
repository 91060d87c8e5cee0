"""Evaluations: versions measured on one labelled dataset, at any time after their training."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.broker.queue import JobQueue
from app.db.label_tables import EvaluationRow
from app.db.tables import DatasetRow, JobRow
from app.errors import DatasetNotFound, FieldError, InvalidRequest
from app.job_types.evaluation import EVALUATION
from app.schemas.evaluations import EvaluationCreate
from app.services import datasets, job_requests, jobs, models, pagination
from app.services.label_use import check_use


def submit(session: Session, queue: JobQueue, request: EvaluationCreate, *, max_attempts: int, key: str | None = None) -> JobRow:
    """Queue one evaluation. Raise InvalidRequest, IdempotencyConflict."""
    return jobs.enqueue(session, queue, request, lambda: _build_row(session, request), max_attempts=max_attempts, key=key)


def _build_row(session: Session, request: EvaluationCreate) -> JobRow:
    dataset = _labelled_dataset(session, request.dataset)
    versions = [
        job_requests.named_version(session, reference, f"/versions/{number}") for number, reference in enumerate(request.versions)
    ]
    if len({version.id for version in versions}) < len(versions):
        raise InvalidRequest(errors=[FieldError("/versions", "name the same version twice; name each once")])
    for number, version in enumerate(versions):
        job_requests.check_version_accepts(version, dataset, f"/versions/{number}", "dataset")
    named = [{"id": str(version.id), "model": version.model.name, "number": version.number} for version in versions]
    return JobRow(
        kind=EVALUATION.name,
        model_name=versions[0].model.name,
        source_id=dataset.id,
        base={"model": f"{versions[0].model.name}:{versions[0].number}"},
        base_version_id=versions[0].id,
        params={"versions": named, "total": dataset.rows},
    )


def _labelled_dataset(session: Session, reference: UUID | str) -> DatasetRow:
    try:
        dataset = datasets.load(session, reference)
    except DatasetNotFound as error:
        raise InvalidRequest(error.message, [FieldError("/dataset", error.message)]) from error
    if not dataset.labelled or not dataset.classes:
        detail = "the dataset has no labels to compare predictions with; name a labelled one"
        raise InvalidRequest(errors=[FieldError("/dataset", detail)])
    check_use({"/dataset": (dataset, "measuring")})
    return dataset


def page(session: Session, name: str, number: int, limit: int, after: str | None) -> tuple[list[EvaluationRow], str | None]:
    """Return one page of the figures that evaluations stored with a version, newest first. Raise ModelNotFound."""
    query = select(EvaluationRow).where(EvaluationRow.version_id == models.version(session, name, number).id)
    return pagination.page(session, query, EvaluationRow, limit, after)


def newest(session: Session, version_id: UUID) -> EvaluationRow | None:
    """Return the newest figures of a version."""
    query = select(EvaluationRow).where(EvaluationRow.version_id == version_id)
    return session.scalars(query.order_by(EvaluationRow.created_at.desc(), EvaluationRow.id.desc()).limit(1)).first()
