"""Routes of datasets."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from app.api.deps import SessionDep, SessionsDep, SettingsDep, StorageDep, error_responses
from app.db.tables import DatasetRow
from app.errors import (
    DatasetInUse,
    DatasetNotFound,
    InvalidDataset,
    InvalidRequest,
    UnsupportedContentType,
    UploadTooLarge,
)
from app.schemas.datasets import UPLOAD_BODY, DatasetOut, Preview
from app.schemas.pagination import Page
from app.services import datasets
from app.services.multipart_uploads import receive_upload

router = APIRouter(prefix="/datasets", tags=["datasets"])


@router.post(
    "",
    status_code=201,
    response_model=DatasetOut,
    responses={
        200: {"model": DatasetOut, "description": "The same file and options were uploaded before: that dataset."},
        **error_responses(InvalidRequest, InvalidDataset, UploadTooLarge, UnsupportedContentType),
    },
    openapi_extra={"requestBody": UPLOAD_BODY},
)
async def upload_dataset(
    request: Request, response: Response, sessions: SessionsDep, storage: StorageDep, settings: SettingsDep
) -> DatasetRow:
    """Upload a dataset. It is checked to its last row; what is wrong is answered with its place."""
    folder, fields = settings.scratch_dir, ["name", "modality", "options"]
    async with receive_upload(_body(request), request.headers, folder, fields, settings.max_upload_bytes) as upload:
        row, is_new = await run_in_threadpool(datasets.create, sessions, storage, upload)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/datasets/{row.id}"
    return row


@router.get("", response_model=Page[DatasetOut], responses=error_responses(InvalidRequest))
def list_datasets(
    session: SessionDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(max_length=500, description="`next` of the page before.")] = None,
) -> dict[str, object]:
    """All datasets, newest first."""
    rows, following = datasets.page(session, limit, after)
    return {"data": rows, "next": following}


@router.get("/{dataset_id}", response_model=DatasetOut, responses=error_responses(DatasetNotFound, InvalidRequest))
def get_dataset(dataset_id: UUID, session: SessionDep) -> DatasetRow:
    """One dataset."""
    return datasets.get(session, dataset_id)


@router.delete("/{dataset_id}", status_code=204, responses=error_responses(DatasetNotFound, DatasetInUse, InvalidRequest))
def delete_dataset(dataset_id: UUID, session: SessionDep, storage: StorageDep) -> None:
    """Delete a dataset and its file. Ended jobs and their versions stay as they are."""
    datasets.delete(session, storage, dataset_id)


@router.get("/{dataset_id}/preview", responses=error_responses(DatasetNotFound, InvalidRequest))
def preview_dataset(
    dataset_id: UUID, sessions: SessionsDep, storage: StorageDep, limit: Annotated[int, Query(ge=1, le=50)] = 10
) -> Preview:
    """The first examples of a dataset."""
    with sessions.begin() as session:
        row = datasets.get(session, dataset_id)
    return Preview(data=datasets.preview(row, storage, limit))


async def _body(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        raise InvalidRequest("The body is cut short.") from error
