"""Routes of pretrained encoders: those that the service knows, and uploaded ones."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from app.api.authorization import requires
from app.api.deps import ChecksDep, SessionDep, SessionsDep, SettingsDep, StorageDep, error_responses
from app.api.middleware import own_body_limit
from app.api.request_bodies import unless_disconnected
from app.api.uploads import body_chunks, upload_slot
from app.encoders.catalogue import CATALOGUE, known
from app.errors import (
    EncoderInUse,
    EncoderNameTaken,
    EncoderNotFound,
    InsufficientStorage,
    InvalidEncoder,
    InvalidRequest,
    QuotaExceeded,
    UnsupportedContentType,
    UploadsBusy,
    UploadTooLarge,
)
from app.schemas.encoders import ENCODER_BODY, EncoderOut
from app.schemas.pagination import Page
from app.services import uploaded_encoders
from app.services.multipart_uploads import UploadLimits, receive_upload

router = APIRouter(prefix="/encoders", tags=["algorithms"])
_READ, _WRITE = requires("jobs:read"), requires("encoders:write")
EncoderId = Annotated[str, Path(max_length=200, description="Id of `GET /encoders`.", examples=["upload:cells"])]


@router.get("", dependencies=[_READ], response_model=Page[EncoderOut])
def list_encoders(session: SessionDep) -> dict[str, object]:
    """List the pretrained encoders for `pretrained` in `base` of a job, and whether this server has them."""
    uploaded = [EncoderOut.of(row) for row in uploaded_encoders.every(session)]
    return {"data": [EncoderOut.model_validate(each, from_attributes=True) for each in CATALOGUE] + uploaded, "next": None}


@router.post(
    "",
    dependencies=[_WRITE, Depends(upload_slot)],
    status_code=201,
    response_model=EncoderOut,
    responses={
        200: {"model": EncoderOut, "description": "The existing encoder, if the same file was uploaded with the same fields."},
        **error_responses(
            InvalidRequest,
            InvalidEncoder,
            EncoderNameTaken,
            QuotaExceeded,
            UploadTooLarge,
            UnsupportedContentType,
            InsufficientStorage,
            UploadsBusy,
        ),
    },
    openapi_extra={"requestBody": ENCODER_BODY},
)
@own_body_limit
async def upload_encoder(
    request: Request,
    response: Response,
    sessions: SessionsDep,
    storage: StorageDep,
    settings: SettingsDep,
    checks: ChecksDep,
) -> EncoderOut:
    """Upload a checkpoint of the transformers library as a zip. Only safetensors weights are accepted."""
    checks.refuse_if_full()
    limits = UploadLimits(settings.max_upload_bytes, settings.disk_space)
    fields = ["name", "licence", "speed"]
    async with receive_upload(body_chunks(request), request.headers, settings.scratch_dir, fields, limits) as upload:
        create = checks.run(lambda checker: uploaded_encoders.create(sessions, storage, upload, checker))
        row, is_new = await unless_disconnected(request, create)
    encoder = EncoderOut.of(row)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/encoders/{encoder.id}"
    return encoder


@router.get(
    "/{encoder_id}",
    dependencies=[_READ],
    response_model=EncoderOut,
    responses=error_responses(EncoderNotFound, InvalidRequest),
)
def get_encoder(encoder_id: EncoderId, session: SessionDep) -> EncoderOut:
    """Return one pretrained encoder."""
    encoder = known(encoder_id)
    if encoder is not None:
        return EncoderOut.model_validate(encoder, from_attributes=True)
    return EncoderOut.of(uploaded_encoders.get(session, encoder_id))


@router.delete(
    "/{encoder_id}",
    dependencies=[_WRITE],
    status_code=204,
    responses=error_responses(EncoderNotFound, EncoderInUse, InvalidRequest),
)
def delete_encoder(encoder_id: EncoderId, session: SessionDep, storage: StorageDep) -> None:
    """Delete an uploaded encoder. Versions that were trained with it contain its weights and remain."""
    uploaded_encoders.delete(session, storage, encoder_id)
