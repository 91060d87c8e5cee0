"""Routes of batch predictions."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fastapi import Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.orm import Session

from app.api import downloads
from app.api.authorization import requires
from app.api.deps import DatabaseDep, StorageDep, error_responses
from app.api.downloads import ConditionsDep, Download
from app.api.job_routes import JobResource, job_routes
from app.auth import audit
from app.auth.caller import Caller
from app.db.tables import JobRow, OutputRow
from app.errors import (
    ArtifactNotFound,
    BatchPredictionNotFound,
    BatchPredictionNotReady,
    InvalidRequest,
    RangeNotSatisfiable,
)
from app.job_types.batch_prediction import BATCH_PREDICTION
from app.schemas.batch_predictions import BatchPredictionCreate, BatchPredictionOut
from app.services import batch_predictions
from app.settings import Settings

MEDIA_TYPES: Mapping[str, str] = {
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv",
    "jsonl": "application/jsonl",
}
_CONTENT = {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in MEDIA_TYPES.values()}
_OUTPUT: dict[int | str, dict[str, Any]] = {
    status: response | ({"content": _CONTENT} if "content" in response else {})
    for status, response in downloads.RESPONSES.items()
}


def _check(request: BatchPredictionCreate, caller: Caller, _: Settings) -> None:
    """Raise Forbidden if the caller may not use the model."""
    caller.require_model(request.model)


router = job_routes(
    JobResource(
        job_type=BATCH_PREDICTION,
        request=BatchPredictionCreate,
        response=BatchPredictionOut,
        submit=batch_predictions.submit,
        scopes="predictions",
        check=_check,
        metrics_note="They are `completed`, `failed` and `rows_per_second`; a step is a row.",
    )
)


@router.get(
    "/{batch_prediction_id}/output",
    dependencies=[requires("predictions:read")],
    response_class=Response,
    responses={
        **_OUTPUT,
        **error_responses(
            BatchPredictionNotFound, ArtifactNotFound, BatchPredictionNotReady, RangeNotSatisfiable, InvalidRequest
        ),
    },
)
async def download_output(
    batch_prediction_id: UUID, database: DatabaseDep, storage: StorageDep, conditions: ConditionsDep
) -> Response:
    """Download the output, with one row for each row of the dataset. `ETag` is its SHA-256; `Range` requests are supported."""

    def find(session: Session) -> tuple[JobRow, OutputRow]:
        audit.record(session, "output.download", f"batch-predictions/{batch_prediction_id}/output")
        return batch_predictions.output(session, batch_prediction_id)

    job, output = await database.run(find)
    format = job.params["output"]
    name, media_type = f"{job.model_name}-{job.id}.{format}", MEDIA_TYPES[format]
    download = Download(output.storage_key, output.digest, output.size_bytes, name, media_type)
    return await run_in_threadpool(downloads.file_response, download, storage, conditions)
