"""Batch predictions: one version applied to one dataset.

Decision: a batch prediction is a job of another kind. Context: it needs a queue, a lease, attempts, checkpoints, cancellation,
events and a process of its own, as every job does. Consequences: one table, one state machine, one supervisor and one sweep serve
all kinds. `/jobs` lists adaptations and `/batch-predictions` lists batch predictions; neither finds the ids of the other.
Alternatives: a table of its own would copy every statement of `app.services.leases`; prediction in the HTTP server would use its
memory and processors, and has no GPU.

The version is fixed at submission: moving an alias later changes nothing.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.orm import Session

from app.artifacts import GRAPHS, Precision
from app.broker.queue import JobQueue
from app.db.tables import DatasetRow, JobRow, OutputRow, VersionRow
from app.errors import ArtifactNotFound, BatchPredictionNotReady, DatasetNotFound, FieldError, InvalidRequest
from app.job_state import JobStatus
from app.job_types.batch_prediction import BATCH_PREDICTION
from app.schemas.batch_predictions import BatchPredictionCreate
from app.services import datasets, job_requests, jobs


def submit(
    session: Session, queue: JobQueue, request: BatchPredictionCreate, *, max_attempts: int, key: str | None = None
) -> JobRow:
    """Queue one batch prediction. Raise InvalidRequest, IdempotencyConflict."""
    return jobs.enqueue(session, queue, request, lambda: _build_row(session, request), max_attempts=max_attempts, key=key)


def get(session: Session, prediction_id: UUID) -> JobRow:
    """Return one batch prediction. Raise BatchPredictionNotFound."""
    return jobs.get(session, prediction_id, BATCH_PREDICTION)


def page(
    session: Session, statuses: Sequence[JobStatus], model: str | None, limit: int, after: str | None
) -> tuple[list[JobRow], str | None]:
    """Return one page of batch predictions, newest first, and the cursor of the next one."""
    return jobs.page(session, statuses, model, limit, after, BATCH_PREDICTION)


def cancel(session: Session, prediction_id: UUID) -> JobRow:
    """Cancel a batch prediction. Raise BatchPredictionNotFound, IllegalTransition."""
    return jobs.cancel(session, prediction_id, BATCH_PREDICTION)


def output(session: Session, prediction_id: UUID) -> tuple[JobRow, OutputRow]:
    """Return the batch prediction and its file. Raise BatchPredictionNotFound, BatchPredictionNotReady, ArtifactNotFound."""
    job = get(session, prediction_id)
    if job.output is None and job.status == JobStatus.SUCCEEDED:
        raise ArtifactNotFound("The output was deleted. Submit the prediction again to get it.")
    if job.output is None:
        raise BatchPredictionNotReady(f"The prediction is {job.status}: there is no output.")
    return job, job.output


def _build_row(session: Session, request: BatchPredictionCreate) -> JobRow:
    version = job_requests.named_version(session, request.model, "/model")
    _check_precision(version, request.precision)
    dataset = _dataset(session, request.dataset)
    job_requests.check_version_accepts(version, dataset, "/dataset", "dataset")
    return JobRow(
        kind=BATCH_PREDICTION.name,
        model_name=version.model.name,
        source_id=dataset.id,
        base={"model": f"{version.model.name}:{version.number}"},
        base_version_id=version.id,
        params=request.options().model_dump(mode="json") | {"total": dataset.rows},
    )


def _check_precision(version: VersionRow, precision: Precision) -> None:
    if precision != "float32" and GRAPHS[precision] not in {artifact.name for artifact in version.artifacts}:
        raise InvalidRequest(errors=[FieldError("/precision", f"the version has no {precision} graph")])


def _dataset(session: Session, reference: UUID | str) -> DatasetRow:
    try:
        return datasets.load(session, reference)
    except DatasetNotFound as error:
        raise InvalidRequest(error.message, [FieldError("/dataset", error.message)]) from error
