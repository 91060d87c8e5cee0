"""Routes of batch predictions."""

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy.orm import Session, sessionmaker

from app.api import downloads
from app.api.deps import QueueDep, RequireJson, SessionDep, SessionsDep, SettingsDep, StorageDep, WatcherDep, error_responses
from app.api.downloads import ConditionsDep, Download
from app.api.job_events import LastEventId, stream
from app.api.jobs import After, IdempotencyKey, MetricName, Wait
from app.errors import (
    ArtifactNotFound,
    BatchPredictionNotFound,
    BatchPredictionNotReady,
    IdempotencyConflict,
    IllegalTransition,
    InvalidRequest,
    RangeNotSatisfiable,
    UnsupportedContentType,
    UploadTooLarge,
)
from app.job_state import ENDED, JobStatus
from app.job_types.batch_prediction import BATCH_PREDICTION
from app.schemas.batch_predictions import BatchPredictionCreate, BatchPredictionOut
from app.schemas.jobs import ModelName
from app.schemas.pagination import Page
from app.schemas.trainer_messages import MetricPoint
from app.services import batch_predictions, jobs

router = APIRouter(prefix="/batch-predictions", tags=["batch predictions"])

MEDIA_TYPES: Mapping[str, str] = {
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv",
    "jsonl": "application/jsonl",
}
_CONTENT = {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in MEDIA_TYPES.values()}
_OUTPUT: dict[int | str, dict[str, Any]] = {
    status: answer | ({"content": _CONTENT} if "content" in answer else {}) for status, answer in downloads.RESPONSES.items()
}


@router.post(
    "",
    status_code=202,
    dependencies=[RequireJson],
    responses=error_responses(InvalidRequest, IdempotencyConflict, UploadTooLarge, UnsupportedContentType),
)
def submit_prediction(
    body: BatchPredictionCreate,
    response: Response,
    session: SessionDep,
    queue: QueueDep,
    settings: SettingsDep,
    idempotency_key: IdempotencyKey = None,
) -> BatchPredictionOut:
    """Queue the prediction of a whole dataset."""
    job = batch_predictions.submit(session, queue, body, max_attempts=settings.max_attempts, key=idempotency_key)
    response.headers["Location"] = f"/batch-predictions/{job.id}"
    return BatchPredictionOut.of(job)


@router.get("", responses=error_responses(InvalidRequest))
def list_predictions(
    session: SessionDep,
    status: Annotated[list[JobStatus], Query(description="Any of these; may be repeated.")] = [],  # noqa: B006
    model: Annotated[ModelName | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: After = None,
) -> Page[BatchPredictionOut]:
    """All batch predictions, newest first."""
    rows, following = batch_predictions.page(session, status, model, limit, after)
    return Page(data=[BatchPredictionOut.of(row) for row in rows], next=following)


@router.get("/{prediction_id}", responses=error_responses(BatchPredictionNotFound, InvalidRequest))
async def get_prediction(prediction_id: UUID, sessions: SessionsDep, watcher: WatcherDep, wait: Wait = 0) -> BatchPredictionOut:
    """One batch prediction; with `wait`, as soon as anything about it is different. One that has ended is answered at once."""
    found = await run_in_threadpool(_read, sessions, prediction_id)
    if wait and found.status not in ENDED:
        await watcher.wait_for_change(prediction_id, (found.status, found.updated_at), wait)
        found = await run_in_threadpool(_read, sessions, prediction_id)
    return found


def _read(sessions: "sessionmaker[Session]", prediction_id: UUID) -> BatchPredictionOut:
    with sessions.begin() as session:
        return BatchPredictionOut.of(batch_predictions.get(session, prediction_id))


@router.post("/{prediction_id}/cancel", responses=error_responses(BatchPredictionNotFound, IllegalTransition, InvalidRequest))
def cancel_prediction(prediction_id: UUID, session: SessionDep) -> BatchPredictionOut:
    """Stop a batch prediction. A running one is `cancelling` until its worker has stopped it."""
    return BatchPredictionOut.of(batch_predictions.cancel(session, prediction_id))


@router.get(
    "/{prediction_id}/output",
    response_class=Response,
    responses={
        **_OUTPUT,
        **error_responses(
            BatchPredictionNotFound, ArtifactNotFound, BatchPredictionNotReady, RangeNotSatisfiable, InvalidRequest
        ),
    },
)
def download_output(prediction_id: UUID, sessions: SessionsDep, storage: StorageDep, conditions: ConditionsDep) -> Response:
    """The answers, a row for each row of the dataset. The `ETag` is their SHA-256; parts can be asked for with `Range`."""
    with sessions.begin() as session:
        job, output = batch_predictions.output(session, prediction_id)
    format = job.params["output"]
    name, media_type = f"{job.model_name}-{job.id}.{format}", MEDIA_TYPES[format]
    return downloads.file_response(
        Download(output.storage_key, output.digest, output.size_bytes, name, media_type), storage, conditions
    )


@router.get(
    "/{prediction_id}/metrics",
    response_model=Page[MetricPoint],
    responses=error_responses(BatchPredictionNotFound, InvalidRequest),
)
def list_prediction_metrics(
    prediction_id: UUID,
    session: SessionDep,
    name: MetricName = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    after: After = None,
) -> dict[str, Any]:
    """The series `completed`, `failed` and `rows_per_second`; a step is a row."""
    points, following = jobs.metrics(session, prediction_id, name, limit, after, BATCH_PREDICTION)
    return {"data": points, "next": following}


def existing_prediction(prediction_id: UUID, sessions: SessionsDep) -> UUID:
    """Checked before the stream begins. Raises BatchPredictionNotFound."""
    with sessions.begin() as session:
        return batch_predictions.get(session, prediction_id).id


@router.get(
    "/{prediction_id}/events",
    response_class=EventSourceResponse,
    responses=error_responses(BatchPredictionNotFound, InvalidRequest),
)
async def stream_prediction_events(
    prediction_id: Annotated[UUID, Depends(existing_prediction)],
    sessions: SessionsDep,
    watcher: WatcherDep,
    last_event_id: LastEventId = 0,
) -> AsyncIterator[ServerSentEvent]:
    """What happens to a batch prediction; the events are those of a job."""
    async for event in stream(sessions, watcher, prediction_id, last_event_id, BATCH_PREDICTION):
        yield event
