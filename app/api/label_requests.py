"""Routes of label requests: rows to label, their labels, and the figures that follow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.requests import ClientDisconnect

from app.api.authorization import CallerDep, requires
from app.api.deps import ChecksDep, DatabaseDep, RequireJson, SessionDep, SessionsDep, StorageDep, error_responses
from app.api.middleware import own_body_limit
from app.api.models import Name, Number
from app.api.request_bodies import unless_disconnected
from app.db.tables import DatasetRow
from app.errors import (
    ArtifactCorrupt,
    DatasetNotFound,
    InvalidRequest,
    LabelRequestNotFound,
    ModelNotFound,
    QuotaExceeded,
    RowsTaken,
    UnsupportedContentType,
    UploadsBusy,
    UploadTooLarge,
)
from app.schemas.datasets import DatasetOut
from app.schemas.jobs import ModelName
from app.schemas.label_requests import (
    Answers,
    LabelDatasetCreate,
    LabelRequestCreate,
    LabelRequestCreated,
    LabelRequestOut,
    RowsToLabel,
    RowToLabel,
)
from app.schemas.models import VersionNumber
from app.schemas.pagination import Page
from app.services import label_datasets, label_draws, label_exchange, label_requests

router = APIRouter(tags=["labels"])

_READ, _WRITE = requires("labels:read"), requires("labels:write")
MAX_IMPORT_BYTES = 64 * 1024**2
Limit = Annotated[int, Query(ge=1, le=100)]
After = Annotated[str | None, Query(max_length=500, description="`next` of the previous page.")]
Format = Literal["label_studio", "label_studio_interface", "csv"]
_BODY_ERRORS = (InvalidRequest, UploadTooLarge, UnsupportedContentType)
_EXPORTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Tasks as JSON, the labelling interface as XML, or a table as CSV.",
        "content": {
            "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
            "application/xml": {"schema": {"type": "string"}},
            "text/csv": {"schema": {"type": "string"}},
        },
    }
}
_IMPORT_BODY: Mapping[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The results of Label Studio as JSON, JSON-MIN or CSV, or CSV with the columns `row` and `label`.",
        "content": {
            "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
            "text/csv": {"schema": {"type": "string"}},
        },
    }
}


@dataclass(frozen=True, slots=True)
class _VersionPath:
    """The version in the path."""

    name: Name
    number: Number


@dataclass(frozen=True, slots=True)
class _DrawContext:
    """What the draw of rows and their previews needs."""

    request: Request
    storage: StorageDep
    checks: ChecksDep


@router.post(
    "/models/{name}/versions/{number}/label-requests",
    status_code=201,
    dependencies=[_WRITE, RequireJson],
    responses=error_responses(ModelNotFound, DatasetNotFound, *_BODY_ERRORS, RowsTaken, ArtifactCorrupt, UploadsBusy),
)
async def create_label_request(
    version: Annotated[_VersionPath, Depends()],
    body: LabelRequestCreate,
    context: Annotated[_DrawContext, Depends()],
    database: DatabaseDep,
    response: Response,
) -> LabelRequestCreated:
    """Draw rows of the version's target for a person to label. The predictions of the model are not shown."""
    context.checks.refuse_if_full()
    plan = await database.run(lambda session: label_draws.plan(session, version.name, version.number, body))
    draw = context.checks.run(lambda checker: label_draws.draw_rows(context.storage, plan, checker))
    drawn = await unless_disconnected(context.request, draw)
    created = await database.run(lambda session: LabelRequestCreated.of(label_draws.store(session, drawn)))
    response.headers["Location"] = f"/label-requests/{created.id}"
    return created


@router.get("/label-requests", dependencies=[_READ], responses=error_responses(InvalidRequest))
def list_label_requests(
    session: SessionDep,
    model: Annotated[ModelName | None, Query()] = None,
    version: Annotated[VersionNumber | None, Query()] = None,
    limit: Limit = 20,
    after: After = None,
) -> Page[LabelRequestOut]:
    """List all label requests with their figures, newest first."""
    rows, cursor = label_requests.page(session, model, version, limit, after)
    return Page(data=[LabelRequestOut.of(row) for row in rows], next=cursor)


@router.get("/label-requests/{request_id}", dependencies=[_READ], responses=error_responses(LabelRequestNotFound, InvalidRequest))
def get_label_request(request_id: UUID, session: SessionDep) -> LabelRequestOut:
    """Return the progress and the figures of a label request. Figures change only at the planned looks."""
    return LabelRequestOut.of(label_requests.get(session, request_id))


@router.get(
    "/label-requests/{request_id}/rows", dependencies=[_READ], responses=error_responses(LabelRequestNotFound, InvalidRequest)
)
def list_rows_to_label(request_id: UUID, session: SessionDep) -> RowsToLabel:
    """Return all rows with previews and labels, in the order in which to label them."""
    request = label_requests.get(session, request_id, previews=True)
    return RowsToLabel(data=[RowToLabel.of(row) for row in request.rows])


@router.put(
    "/label-requests/{request_id}/labels",
    dependencies=[_WRITE, RequireJson],
    responses=error_responses(LabelRequestNotFound, *_BODY_ERRORS),
)
def set_labels(request_id: UUID, body: Answers, session: SessionDep, caller: CallerDep) -> LabelRequestOut:
    """Store the labels of some rows. A later label of the same row replaces the earlier one."""
    caller.require_model(label_requests.get(session, request_id).model_name)
    return LabelRequestOut.of(label_requests.answer(session, request_id, body.labels))


@router.delete(
    "/label-requests/{request_id}",
    status_code=204,
    dependencies=[_WRITE],
    responses=error_responses(LabelRequestNotFound, InvalidRequest),
)
def delete_label_request(request_id: UUID, session: SessionDep, caller: CallerDep) -> None:
    """Delete a label request with its labels. Datasets made from it remain."""
    caller.require_model(label_requests.get(session, request_id).model_name)
    label_requests.delete(session, request_id)


@router.post(
    "/label-requests/{request_id}/dataset",
    status_code=201,
    dependencies=[_WRITE, RequireJson],
    response_model=DatasetOut,
    responses={
        200: {"model": DatasetOut, "description": "The existing dataset, if it has the same labels."},
        **error_responses(LabelRequestNotFound, DatasetNotFound, *_BODY_ERRORS, QuotaExceeded),
    },
)
def create_label_dataset(
    request_id: UUID, body: LabelDatasetCreate, response: Response, sessions: SessionsDep, storage: StorageDep
) -> DatasetRow:
    """Make a dataset of the labelled rows, for the `evaluation` of jobs or, with `improve`, for their training."""
    row, is_new = label_datasets.create(sessions, storage, request_id, body.name)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/datasets/{row.id}"
    return row


@router.get(
    "/label-requests/{request_id}/export",
    dependencies=[_READ],
    response_class=Response,
    responses={**_EXPORTS, **error_responses(LabelRequestNotFound, InvalidRequest)},
)
def export_label_request(
    request_id: UUID,
    session: SessionDep,
    format: Annotated[Format, Query(description="The first two have the rows that are open; CSV has all rows.")] = "label_studio",
) -> Response:
    """Return the rows as tasks of Label Studio without predictions, the interface that labels them, or a table."""
    request = label_requests.get(session, request_id, previews=True)
    if format == "label_studio":
        return JSONResponse(label_exchange.tasks(request))
    if format == "label_studio_interface":
        return Response(label_exchange.interface(request), media_type="application/xml")
    return PlainTextResponse(label_exchange.table(request), media_type="text/csv")


@router.post(
    "/label-requests/{request_id}/import",
    dependencies=[_WRITE],
    responses=error_responses(LabelRequestNotFound, *_BODY_ERRORS),
    openapi_extra=dict(_IMPORT_BODY),
)
@own_body_limit
async def import_labels(request: Request, request_id: UUID, database: DatabaseDep, caller: CallerDep) -> LabelRequestOut:
    """Store the labels of a file from Label Studio or of a table. `unclear` is the label of unclear rows."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in ("application/json", "text/csv"):
        raise UnsupportedContentType(f"Send application/json or text/csv, not {media_type[:100] or 'nothing'}.")
    content = await _body(request)
    answers = await run_in_threadpool(label_exchange.parse, content, media_type)

    def store(session: Any) -> LabelRequestOut:
        caller.require_model(label_requests.get(session, request_id).model_name)
        return LabelRequestOut.of(label_requests.answer(session, request_id, answers))

    return await database.run(store)


async def _body(request: Request) -> bytes:
    """Return the whole body. Raise UploadTooLarge, InvalidRequest if the client ends too early."""
    parts, size = list[bytes](), 0
    try:
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > MAX_IMPORT_BYTES:
                raise UploadTooLarge(f"The file may have at most {MAX_IMPORT_BYTES} bytes.")
    except ClientDisconnect as error:
        raise InvalidRequest("The request body is incomplete.") from error
    return b"".join(parts)
