"""Routes of datasets."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.api.authorization import requires
from app.api.deps import ChecksDep, DatabaseDep, RequireJson, SessionDep, SessionsDep, SettingsDep, StorageDep, error_responses
from app.api.middleware import own_body_limit
from app.api.request_bodies import unless_disconnected
from app.api.uploads import body_chunks, upload_slot
from app.db.tables import DatasetRow
from app.errors import (
    DatasetInUse,
    DatasetNotFound,
    InsufficientStorage,
    InvalidDataset,
    InvalidRequest,
    QuotaExceeded,
    UnsupportedContentType,
    UploadsBusy,
    UploadTooLarge,
)
from app.schemas.datasets import (
    UPLOAD_BODY,
    DatasetOut,
    ExampleOut,
    ExamplePage,
    Preview,
    Reinterpretation,
    Usage,
)
from app.schemas.labels import DatasetChange
from app.schemas.pagination import Page
from app.services import datasets
from app.services.multipart_uploads import UploadLimits, receive_upload

router = APIRouter(prefix="/datasets", tags=["datasets"])

_READ, _WRITE = requires("datasets:read"), requires("datasets:write")


@dataclass(frozen=True, slots=True)
class _CheckContext:
    """What the check of a stored file needs."""

    sessions: SessionsDep
    storage: StorageDep
    checks: ChecksDep


_UPLOAD_ERRORS = (
    InvalidRequest,
    InvalidDataset,
    QuotaExceeded,
    UploadTooLarge,
    UnsupportedContentType,
    InsufficientStorage,
    UploadsBusy,
)


async def _find(dataset_id: UUID, database: DatabaseDep) -> DatasetRow:
    return await database.run(lambda session: datasets.get(session, dataset_id), reads_only=True)


@router.post(
    "",
    dependencies=[_WRITE, Depends(upload_slot)],
    status_code=201,
    response_model=DatasetOut,
    responses={
        200: {
            "model": DatasetOut,
            "description": "The existing dataset, if the same file was uploaded with the same options before.",
        },
        **error_responses(
            InvalidRequest,
            InvalidDataset,
            QuotaExceeded,
            UploadTooLarge,
            UnsupportedContentType,
            InsufficientStorage,
            UploadsBusy,
        ),
    },
    openapi_extra={"requestBody": UPLOAD_BODY},
)
@own_body_limit
async def upload_dataset(
    request: Request,
    response: Response,
    sessions: SessionsDep,
    storage: StorageDep,
    settings: SettingsDep,
    checks: ChecksDep,
) -> DatasetRow:
    """Upload and validate a dataset. An error response names each invalid row, column or file."""
    folder, fields = settings.scratch_dir, ["name", "modality", "options"]
    checks.refuse_if_full()
    limits = UploadLimits(settings.max_upload_bytes, settings.disk_space)
    async with receive_upload(body_chunks(request), request.headers, folder, fields, limits) as upload:
        create = checks.run(lambda checker: datasets.create(sessions, storage, upload, checker))
        row, is_new = await unless_disconnected(request, create)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/datasets/{row.id}"
    return row


@router.post(
    "/{dataset_id}/reinterpretations",
    dependencies=[_WRITE, RequireJson],
    status_code=201,
    response_model=DatasetOut,
    responses={
        200: {"model": DatasetOut, "description": "The existing dataset, if the same one was made before."},
        **error_responses(
            DatasetNotFound, InvalidRequest, InvalidDataset, QuotaExceeded, UploadTooLarge, UnsupportedContentType, UploadsBusy
        ),
    },
)
async def reinterpret_dataset(
    request: Request,
    response: Response,
    body: Reinterpretation,
    row: Annotated[DatasetRow, Depends(_find)],
    context: Annotated[_CheckContext, Depends()],
) -> DatasetRow:
    """Make a dataset from the same bytes with other options. The first one stays as it is."""
    context.checks.refuse_if_full()
    fields = body.fields(row.name, row.modality)
    sessions, storage = context.sessions, context.storage
    make = context.checks.run(lambda checker: datasets.reinterpret(sessions, storage, row, fields, checker))
    made, is_new = await unless_disconnected(request, make)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/datasets/{made.id}"
    return made


@router.get("", dependencies=[_READ], response_model=Page[DatasetOut], responses=error_responses(InvalidRequest))
def list_datasets(
    session: SessionDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(max_length=500, description="`next` of the previous page.")] = None,
) -> dict[str, object]:
    """List all datasets, newest first."""
    rows, cursor = datasets.page(session, limit, after)
    return {"data": rows, "next": cursor}


@router.get(
    "/{dataset_id}",
    dependencies=[_READ],
    response_model=DatasetOut,
    responses=error_responses(DatasetNotFound, InvalidRequest),
)
def get_dataset(dataset_id: UUID, session: SessionDep) -> DatasetRow:
    """Return one dataset."""
    return datasets.get(session, dataset_id)


@router.patch(
    "/{dataset_id}",
    response_model=DatasetOut,
    dependencies=[_WRITE, RequireJson],
    responses=error_responses(DatasetNotFound, InvalidRequest, UploadTooLarge, UnsupportedContentType),
)
def change_dataset(dataset_id: UUID, body: DatasetChange, session: SessionDep) -> DatasetRow:
    """Change name, description or tags."""
    return datasets.change(session, dataset_id, body.values())


@router.delete(
    "/{dataset_id}",
    dependencies=[_WRITE],
    status_code=204,
    responses=error_responses(DatasetNotFound, DatasetInUse, InvalidRequest),
)
def delete_dataset(dataset_id: UUID, session: SessionDep, storage: StorageDep) -> None:
    """Delete a dataset and its file. Finished jobs and their versions remain."""
    datasets.delete(session, storage, dataset_id)


@router.get(
    "/{dataset_id}/preview",
    dependencies=[_READ],
    responses=error_responses(DatasetNotFound, InvalidRequest, UploadsBusy),
)
async def preview_dataset(
    request: Request,
    row: Annotated[DatasetRow, Depends(_find)],
    sessions: SessionsDep,
    storage: StorageDep,
    checks: ChecksDep,
    limit: Annotated[int, Query(ge=1, le=datasets.MAX_PREVIEW_ROWS)] = 10,
) -> Preview:
    """Return the first examples of a dataset. The first request makes the preview and stores it."""
    rows = await run_in_threadpool(datasets.stored_preview, row, storage)
    if rows is None:
        make = checks.run(lambda checker: datasets.make_preview(sessions, storage, row, checker))
        rows = await unless_disconnected(request, make)
    return Preview(data=rows[:limit])


@router.get(
    "/{dataset_id}/rows",
    dependencies=[_READ],
    responses=error_responses(DatasetNotFound, InvalidRequest, UploadsBusy),
)
async def list_rows(
    request: Request,
    row: Annotated[DatasetRow, Depends(_find)],
    context: Annotated[_CheckContext, Depends()],
    first: Annotated[int, Query(ge=1, le=2**53, description="Number of the first row, from 1.")] = 1,
    limit: Annotated[int, Query(ge=1, le=datasets.MAX_PREVIEW_ROWS)] = 20,
) -> ExamplePage:
    """List examples by their numbers, with thumbnails of images and the beginnings of texts."""
    read = context.checks.run(lambda checker: datasets.read_rows(context.storage, row, first, limit, checker))
    return ExamplePage(data=await unless_disconnected(request, read), total=row.rows)


@router.get(
    "/{dataset_id}/rows/{number}",
    dependencies=[_READ],
    responses=error_responses(DatasetNotFound, InvalidRequest, UploadsBusy),
)
async def get_row(
    request: Request,
    number: Annotated[int, Path(ge=1, le=2**53, description="From 1.")],
    row: Annotated[DatasetRow, Depends(_find)],
    context: Annotated[_CheckContext, Depends()],
) -> ExampleOut:
    """Return one example in full: an image at its size as a data URL, or a whole text."""
    read = context.checks.run(lambda checker: datasets.read_row(context.storage, row, number, checker))
    return ExampleOut.model_validate(await unless_disconnected(request, read))


@router.get("/{dataset_id}/usages", dependencies=[_READ], responses=error_responses(DatasetNotFound, InvalidRequest))
def list_usages(
    dataset_id: UUID,
    session: SessionDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(max_length=500, description="`next` of the previous page.")] = None,
) -> Page[Usage]:
    """List the jobs that read a dataset, and the versions that they produced, newest first."""
    rows, cursor = datasets.usages(session, dataset_id, limit, after)
    return Page(data=[Usage.of(row, dataset_id) for row in rows], next=cursor)
